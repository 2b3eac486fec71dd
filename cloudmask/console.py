"""What rank 0 shows: plain lines, and a progress bar where somebody watches a terminal."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from tqdm import tqdm


class Console:
    """Lines and bars on standard output; an invisible console, on other ranks, shows nothing."""

    def __init__(self, visible: bool) -> None:
        self.visible = visible

    def say(self, line: str) -> None:
        """Show a line at once."""
        if self.visible:
            print(line, flush=True)

    @contextmanager
    def bar(self, total: int, label: str) -> Iterator[Callable[[int], object]]:
        """Gives a function that advances a bar by so many of `total`; gone when it ends."""
        watched = self.visible and sys.stdout.isatty()
        with tqdm(
            total=total, desc=label, disable=not watched, leave=False, file=sys.stdout
        ) as bar:
            yield bar.update
