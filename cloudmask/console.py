"""The console output of rank 0: lines of text, and progress bars on a terminal."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TextIO

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
        with progress_bar(total, label, sys.stdout, self.visible, leave=False) as bar:
            yield bar.update


def progress_bar(
    total: int, label: str, stream: TextIO, visible: bool = True, **style: Any
) -> tqdm[None]:
    """A bar on a terminal; elsewhere, or unless `visible`, a disabled bar that shows nothing."""
    disable = not (visible and stream.isatty())
    return tqdm(total=total, desc=label, disable=disable, file=stream, dynamic_ncols=True, **style)
