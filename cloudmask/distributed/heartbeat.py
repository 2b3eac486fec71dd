"""Heartbeats: the status of every rank of a node, in a file that its supervisor maps as well.

The file has its full size from the start, so a full disk cannot stop a heartbeat.
"""

from __future__ import annotations

import ctypes
import mmap
import os
import time
from collections.abc import Sequence
from pathlib import Path

# Environment of a rank: where its supervisor is.
FOLDER_VARIABLE = "SUPERVISOR_FOLDER"
PARENT_VARIABLE = "SUPERVISOR_PID"
# The name of the run, and the number of restarts so far.
RUN_VARIABLE = "SUPERVISOR_RUN"
RESTARTS_VARIABLE = "SUPERVISOR_RESTARTS"
STATUS_FILE = "ranks"
START_PHASE = "start"


class RankStatus(ctypes.Structure):
    """The status of one rank; times are seconds of the monotonic clock."""

    last_progress: float
    failed_at: float
    exit_code: int
    waiting: bool
    is_consequence: bool
    _fields_ = (
        ("last_progress", ctypes.c_double),
        ("failed_at", ctypes.c_double),
        ("exit_code", ctypes.c_int),
        ("waiting", ctypes.c_bool),
        ("is_consequence", ctypes.c_bool),
        ("phase", ctypes.c_char * 64),
        ("log", ctypes.c_char * 2048),
        ("reason", ctypes.c_char * 2048),
        ("traceback", ctypes.c_char * 8192),
    )

    def set_text(self, field: str, text: str) -> None:
        """Set a text field, truncated to its size."""
        size = getattr(RankStatus, field).size - 1
        setattr(self, field, text.encode(errors="replace")[:size])

    def text(self, field: str) -> str:
        """The content of a text field."""
        raw: bytes = getattr(self, field)
        return raw.decode(errors="ignore")


def create_status_file(folder: Path, ranks: int) -> list[RankStatus]:
    """Create a status file for so many local ranks; returns the status of each."""
    (folder / STATUS_FILE).write_bytes(bytes(ctypes.sizeof(RankStatus) * ranks))
    statuses = [_map_status(folder, local_rank) for local_rank in range(ranks)]
    for status in statuses:
        status.last_progress = time.monotonic()
        status.set_text("phase", START_PHASE)
    return statuses


def seconds_since_progress(statuses: Sequence[RankStatus], now: float) -> float:
    """Seconds since any of these ranks made progress."""
    return now - max(status.last_progress for status in statuses)


def _map_status(folder: Path, local_rank: int) -> RankStatus:
    with (folder / STATUS_FILE).open("rb+") as file:
        memory = mmap.mmap(file.fileno(), 0)
    return RankStatus.from_buffer(memory, local_rank * ctypes.sizeof(RankStatus))


class Heartbeat:
    """Reports the status of this rank to its supervisor, if it has one."""

    def __init__(self) -> None:
        folder = os.environ.get(FOLDER_VARIABLE)
        self.supervised = folder is not None
        self._status = (
            _map_status(Path(folder), int(os.environ["LOCAL_RANK"])) if folder else RankStatus()
        )

    def enter(self, phase: str) -> None:
        """Begin a phase of the run. From here on, this rank must report progress."""
        self._status.set_text("phase", phase)
        self.progress()
        self._status.waiting = False

    def progress(self, steps: int = 1) -> None:
        """Report progress: the fault timeout of this rank starts again."""
        self._status.last_progress = time.monotonic()

    def wait(self) -> None:
        """Report that this rank may now wait for others, so no progress is expected of it."""
        self.progress()
        self._status.waiting = True

    def set_log(self, path: Path) -> None:
        """Name the log, which the supervisor completes if this rank cannot."""
        self._status.set_text("log", str(path.absolute()))

    def fail(
        self, reason: str, exit_code: int, traceback: str = "", is_consequence: bool = False
    ) -> None:
        """Report why this rank is about to exit, and its exit code.

        It may be only a consequence: of the failure of another rank, which was lost.
        """
        self._status.is_consequence = is_consequence
        self._status.set_text("reason", reason)
        self._status.set_text("traceback", traceback)
        self._status.exit_code = exit_code
        self._status.failed_at = time.monotonic()
