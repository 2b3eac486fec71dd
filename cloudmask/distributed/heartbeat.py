"""Life signs of the ranks of a node: a small file that they and their supervisor map into memory.

It has its size from the start, so that a full disk cannot silence a rank.
"""

from __future__ import annotations

import ctypes
import mmap
import os
import time
from pathlib import Path

# Where a rank finds its supervisor; it has none where something else started it.
FOLDER_VARIABLE = "SUPERVISOR_FOLDER"
PARENT_VARIABLE = "SUPERVISOR_PID"
# The name of the run, and how often it was started again.
RUN_VARIABLE = "SUPERVISOR_RUN"
RESTARTS_VARIABLE = "SUPERVISOR_RESTARTS"
BOARD = "ranks"
START = "start"


class Slot(ctypes.Structure):
    """What one rank tells; times are of the monotonic clock, in seconds."""

    beat: float
    failed: float
    code: int
    waiting: bool
    part: bytes
    log: bytes
    reason: bytes
    trace: bytes
    _fields_ = (
        ("beat", ctypes.c_double),
        ("failed", ctypes.c_double),
        ("code", ctypes.c_int),
        ("waiting", ctypes.c_bool),
        ("part", ctypes.c_char * 64),
        ("log", ctypes.c_char * 2048),
        ("reason", ctypes.c_char * 2048),
        ("trace", ctypes.c_char * 8192),
    )

    def put(self, name: str, text: str) -> None:
        """Set one of the texts, cut to the room that there is."""
        room = getattr(Slot, name).size - 1
        setattr(self, name, text.encode(errors="replace")[:room])

    def text(self, name: str) -> str:
        """One of the texts."""
        raw: bytes = getattr(self, name)
        return raw.decode(errors="ignore")


def make_board(folder: Path, ranks: int) -> list[Slot]:
    """An empty slot for each rank of this node, in a new file of the folder."""
    (folder / BOARD).write_bytes(bytes(ctypes.sizeof(Slot) * ranks))
    slots = [_slot(folder, local_rank) for local_rank in range(ranks)]
    for slot in slots:
        slot.beat = time.monotonic()
        slot.put("part", START)
    return slots


def _slot(folder: Path, local_rank: int) -> Slot:
    with (folder / BOARD).open("rb+") as file:
        memory = mmap.mmap(file.fileno(), 0)
    return Slot.from_buffer(memory, local_rank * ctypes.sizeof(Slot))


class Heartbeat:
    """The life signs of this rank; to nobody, if it has no supervisor."""

    def __init__(self) -> None:
        folder = os.environ.get(FOLDER_VARIABLE)
        self.supervised = folder is not None
        self._slot = _slot(Path(folder), int(os.environ["LOCAL_RANK"])) if folder else Slot()

    def beat(self, steps: int = 1) -> None:
        """Say that this rank has got on; the supervisor counts the time from the last beat."""
        self._slot.beat = time.monotonic()

    def enter(self, part: str) -> None:
        """A part of the run begins, in which this rank beats as it gets on."""
        self._slot.put("part", part)
        self.beat()
        self._slot.waiting = False

    def wait(self) -> None:
        """From here this rank may have to wait for others, so its silence alone means nothing."""
        self.beat()
        self._slot.waiting = True

    def tell_log(self, path: Path) -> None:
        """Say where the log is, which the supervisor ends if this rank no longer can."""
        self._slot.put("log", str(path.absolute()))

    def fail(self, reason: str, code: int, trace: str = "") -> None:
        """Say why this rank is about to end, and with which exit code; the trace is optional."""
        self._slot.put("reason", reason)
        self._slot.put("trace", trace)
        self._slot.code = code
        self._slot.failed = time.monotonic()
