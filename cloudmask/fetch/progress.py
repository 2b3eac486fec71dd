"""How far a long job is: a bar on a terminal, a plain line now and then elsewhere."""

from __future__ import annotations

import sys
import time
from threading import Lock
from types import TracebackType

from tqdm import tqdm

LINE_INTERVAL_S = 10.0


class Progress:
    """Counts bytes and files; workers add, the main thread shows by calling `tick`."""

    def __init__(self, verb: str, size: int, files: int, done: int = 0) -> None:
        """`done` of the `size` bytes were there before; they do not count for the rate."""
        self._verb = verb
        self._size = size
        self._files = files
        self._files_done = 0
        self._before = self._bytes = done
        self._lock = Lock()
        self._started = self._shown = time.monotonic()
        self._bar: tqdm[None] | None = None
        if sys.stderr.isatty() and size > 0:
            self._bar = tqdm(
                total=size,
                initial=done,
                unit="B",
                unit_scale=True,
                desc=verb,
                smoothing=0.1,
                dynamic_ncols=True,
            )

    def __enter__(self) -> Progress:
        """Shows from now on."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Leaves the last state on the screen."""
        if self._bar is not None:
            self._update_bar(self._bar)
            self._bar.close()

    @property
    def received(self) -> int:
        """Bytes added since the start."""
        return self._bytes - self._before

    @property
    def elapsed_s(self) -> float:
        """Seconds since the start."""
        return time.monotonic() - self._started

    def add(self, count: int) -> None:
        """Some bytes more; called by any thread."""
        with self._lock:
            self._bytes += count

    def add_file(self) -> None:
        """One file more is settled, well or badly."""
        self._files_done += 1

    def expect(self, count: int) -> None:
        """There is more to do than was said: a file has to be fetched again."""
        self._size += count

    def say(self, line: str) -> None:
        """A line of its own, at once."""
        tqdm.write(line, file=sys.stderr)
        sys.stderr.flush()

    def tick(self) -> None:
        """Show how far it is, if it is time."""
        if self._bar is not None:
            self._update_bar(self._bar)
        elif time.monotonic() - self._shown >= LINE_INTERVAL_S:
            self._shown = time.monotonic()
            self.say(self._line())

    def _update_bar(self, bar: tqdm[None]) -> None:
        bar.total = self._size
        bar.set_postfix_str(f"{self._files_done}/{self._files} files", refresh=False)
        bar.update(self._bytes - bar.n)

    def _line(self) -> str:
        rate = self.received / max(self.elapsed_s, 1e-9)
        left = f", {duration((self._size - self._bytes) / rate)} left" if rate > 0 else ""
        return (
            f"{self._verb}: {self._files_done} of {self._files} files, "
            f"{amount(self._bytes)} of {amount(self._size)}, {amount(rate)}/s{left}"
        )


def amount(count: float) -> str:
    """A number of bytes for people: '163 GB'."""
    for unit in ("bytes", "kB", "MB", "GB"):
        if abs(count) < 999.5:
            return f"{count:.0f} {unit}" if unit == "bytes" else f"{count:.3g} {unit}"
        count /= 1000
    return f"{count:.3g} TB" if count < 999.5 else f"{count:.0f} TB"


def duration(seconds: float) -> str:
    """A time for people: '2 h 05 min', '3 min 20 s', '1.5 s'."""
    if seconds < 60:
        return f"{max(seconds, 0):.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest:02d} s"
    return f"{minutes // 60} h {minutes % 60:02d} min"
