"""Progress of a fetch: a bar on a terminal, a line every ten seconds elsewhere."""

from __future__ import annotations

import sys
import time
from datetime import timedelta
from threading import Lock

from tqdm import tqdm

from cloudmask.console import progress_bar
from cloudmask.tables import counted

LINE_INTERVAL_S = 10.0


class Progress:
    """Counts bytes and files; any thread may add bytes, the main thread calls the rest."""

    def __init__(self, label: str, total_bytes: int, total_files: int, done: int = 0) -> None:
        """Start the clock; `done` bytes are present already and do not count for the rate."""
        self._label = label
        self._total_bytes = total_bytes
        self._total_files = total_files
        self._files = 0
        self._done_before = self._bytes = done
        self._lock = Lock()
        self._started = self._shown = time.monotonic()
        self._bar = progress_bar(
            total_bytes, label, sys.stderr, initial=done, unit="B", unit_scale=True, smoothing=0.1
        )

    def close(self) -> None:
        """Leave the final state on the terminal."""
        self._update_bar()
        self._bar.close()

    def summary(self) -> str:
        """Bytes, hours:minutes:seconds and rate: '1.2 GB in 0:00:03, 400 MB/s'."""
        elapsed = timedelta(seconds=round(time.monotonic() - self._started))
        added = format_bytes(self._bytes - self._done_before)
        return f"{added} in {elapsed}, {format_bytes(self._rate())}/s"

    def add(self, count: int) -> None:
        """Add bytes."""
        with self._lock:
            self._bytes += count

    def add_file(self) -> None:
        """Count one file as finished, fetched or failed."""
        self._files += 1

    def add_to_total(self, count: int) -> None:
        """Raise the total, for a file that has to be fetched again."""
        self._total_bytes += count

    def say(self, line: str) -> None:
        """Show a line at once, above the bar."""
        tqdm.write(line, file=sys.stderr)
        sys.stderr.flush()

    def show(self) -> None:
        """Update the bar, or show a line if the last one is ten seconds old."""
        self._update_bar()
        if self._bar.disable and time.monotonic() - self._shown >= LINE_INTERVAL_S:
            self._shown = time.monotonic()
            self.say(self._line())

    def _update_bar(self) -> None:
        self._bar.total = self._total_bytes
        files = f"{self._files}/{counted(self._total_files, 'file')}"
        self._bar.set_postfix_str(files, refresh=False)
        self._bar.update(self._bytes - self._bar.n)

    def _line(self) -> str:
        rate = self._rate()
        line = (
            f"{self._label}: {self._files} of {counted(self._total_files, 'file')}, "
            f"{format_bytes(self._bytes)} of {format_bytes(self._total_bytes)}, "
            f"{format_bytes(rate)}/s"
        )
        if rate == 0:
            return line
        seconds_left = (self._total_bytes - self._bytes) / rate
        return f"{line}, {timedelta(seconds=round(seconds_left))} left"

    def _rate(self) -> float:
        seconds = time.monotonic() - self._started
        return (self._bytes - self._done_before) / max(seconds, 1e-9)


def format_bytes(count: float) -> str:
    """A number of bytes with three digits and a decimal prefix: '163 GB'."""
    for unit in ("bytes", "kB", "MB", "GB"):
        if count < 999.5:
            return f"{count:.3g} {unit}"
        count /= 1000
    return f"{count:.3g} TB"
