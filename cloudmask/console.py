"""The console output of rank 0: lines of text, and progress bars on a terminal."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from tqdm import tqdm


class Console:
    """Writes to standard output; if not visible, as on the other ranks, it writes nothing."""

    def __init__(self, visible: bool) -> None:
        self.visible = visible

    def say(self, line: str) -> None:
        """Print a line, and flush it."""
        if self.visible:
            print(line, flush=True)

    @contextmanager
    def bar(self, total: int, label: str) -> Iterator[Callable[[int], object]]:
        """Show a progress bar on a terminal; yields a function that advances it by some steps."""
        hidden = not (self.visible and sys.stdout.isatty())
        with tqdm(total=total, desc=label, disable=hidden, leave=False, file=sys.stdout) as bar:
            yield bar.update
