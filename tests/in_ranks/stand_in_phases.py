"""Tells the stand-ins for CUDA the phase of the run, and where the host waits for the device."""

from __future__ import annotations

import ctypes
import os
import sys
from types import FrameType, ModuleType
from typing import Any

CALLBACK = ctypes.CFUNCTYPE(None, ctypes.c_char_p)


def tell(heartbeat: ModuleType) -> None:
    """Begin a phase of the ledger with each phase of the heartbeat."""
    runtime = ctypes.CDLL(os.environ["STAND_IN_RUNTIME"])
    enter = heartbeat.Heartbeat.enter

    def enter_and_tell(self: Any, name: str) -> None:
        runtime.stand_in_phase(name.encode())
        enter(self, name)

    @CALLBACK
    def count_place(call: bytes) -> None:
        place = f"{call.decode()} at {_place(sys._getframe())}"
        runtime.stand_in_count(b"place", place.encode(), ctypes.c_size_t(0))

    heartbeat.Heartbeat.enter = enter_and_tell
    heartbeat.count_place = count_place  # type: ignore[attr-defined]  # lives as long as that
    runtime.stand_in_on_wait(count_place)


def _place(frame: FrameType | None) -> str:
    """The innermost line of the package, or the innermost of all."""
    innermost, wanted = "a thread without Python", f"{os.sep}cloudmask{os.sep}"
    while frame is not None:
        line = f"{frame.f_code.co_filename}:{frame.f_lineno}"
        if wanted in frame.f_code.co_filename and "in_ranks" not in line:
            return line
        if "in_ranks" not in line and innermost.startswith("a thread"):
            innermost = line
        frame = frame.f_back
    return innermost
