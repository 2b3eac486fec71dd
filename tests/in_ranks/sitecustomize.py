"""Changes the ranks of a run from inside: a narrow network, and faults at an exact moment.

Python imports a module of this name when it starts, if its folder is on PYTHONPATH. It acts only
in processes with a RANK (the ranks, and what they fork), and only as the variable IN_RANKS says:

    {"widths": [2, 2, 2, 2], "faults": [{"rank": 1, "phase": "epoch 1", "signal": 9, ...}]}

`narrow` and `fault` of `tests/runs.py` write this variable, and document its fields.
"""

from __future__ import annotations

import fnmatch
import json
import os
import sys
import time
from collections.abc import Callable
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path
from types import ModuleType
from typing import Any


class AfterImport:
    """Finds modules as Python does, and calls a function with each named one once it is loaded."""

    def __init__(self, changes: dict[str, Callable[[ModuleType], None]]) -> None:
        self.changes = changes

    def find_spec(self, name: str, path: Any, target: Any = None) -> ModuleSpec | None:
        change = self.changes.get(name)
        spec = PathFinder.find_spec(name, path) if change else None
        if change is None or spec is None or spec.loader is None:
            return None
        load = spec.loader.exec_module

        def load_and_change(module: ModuleType) -> None:
            load(module)
            change(module)

        spec.loader.exec_module = load_and_change  # type: ignore[method-assign]
        return spec


class Faults:
    """The faults of this rank in this start of the run; each happens once."""

    def __init__(self, faults: list[dict[str, Any]]) -> None:
        rank, restarts = int(os.environ["RANK"]), int(os.environ.get("SUPERVISOR_RESTARTS", 0))
        self.left = [
            fault for fault in faults if fault["rank"] == rank and restarts in fault["restarts"]
        ]

    def happen(self, matches: Callable[[dict[str, Any]], bool]) -> None:
        """Let the faults happen whose moment this is."""
        for fault in list(self.left):
            if matches(fault):
                self.left.remove(fault)
                act(fault)

    def in_phases(self, heartbeat: ModuleType) -> None:
        """At the beginning of a phase (step 0), or when the rank has made so many steps in it."""
        enter, progress = heartbeat.Heartbeat.enter, heartbeat.Heartbeat.progress
        phase, steps = "start", 0

        def enter_with_faults(self: Any, name: str) -> None:
            nonlocal phase, steps
            phase, steps = name, -1  # `enter` reports progress too
            enter(self, name)
            here(0)

        def progress_with_faults(self: Any, count: int = 1) -> None:
            nonlocal steps
            progress(self, count)
            steps += count
            if steps > 0:
                here(steps)

        def here(step: int) -> None:
            reached = range(min(1, step), step + 1)  # the phase is entered only once
            self.happen(lambda fault: fault["phase"] == phase and fault["step"] in reached)

        heartbeat.Heartbeat.enter = enter_with_faults
        heartbeat.Heartbeat.progress = progress_with_faults

    def in_fsync(self) -> None:
        """Before the bytes of a file whose name matches are known to be on the disk."""
        fsync = os.fsync

        def fsync_with_faults(file: int) -> None:
            name = Path(f"/proc/self/fd/{file}").readlink().name
            self.happen(lambda fault: fnmatch.fnmatch(name, fault["fsync"]))
            fsync(file)

        os.fsync = fsync_with_faults

    def in_workers(self, h5py: ModuleType) -> None:
        """When a staging worker, which is a fork of the rank, opens its n-th scene."""
        rank, open_file, opened = os.getpid(), h5py.File.__init__, 0

        def open_with_faults(file: Any, *arguments: Any, **options: Any) -> None:
            nonlocal opened
            if os.getpid() != rank:
                opened += 1
                self.happen(lambda fault: fault["worker_scene"] == opened)
            open_file(file, *arguments, **options)

        h5py.File.__init__ = open_with_faults


def act(fault: dict[str, Any]) -> None:
    """Do what a fault consists in; after a signal, go no further."""
    if fault["code"]:
        exec(fault["code"], {})
        return
    if fault["signal"]:
        os.kill(receiver(fault["to"]), fault["signal"])
    while True:  # until the signal arrives, which for a stalled rank is never
        time.sleep(1)


def receiver(name: str) -> int:
    """The process that a signal goes to."""
    if name == "self":
        return os.getpid()
    supervisor = int(os.environ["SUPERVISOR_PID"])
    if name == "supervisor":
        return supervisor
    status = Path(f"/proc/{supervisor}/status").read_text()  # of the script, its parent
    return int(status.partition("\nPPid:")[2].split()[0])


def narrow_network(widths: list[int]) -> Callable[[ModuleType], None]:
    """Make these the widths of the default network."""

    def change(unet: ModuleType) -> None:
        in_channels, _ = unet.UNet.__init__.__defaults__
        unet.UNet.__init__.__defaults__ = (in_channels, tuple(widths))

    return change


def in_heartbeat(heartbeat: ModuleType) -> None:
    """Faults, and for a rehearsal on stand-ins for CUDA the names of phases in its ledger."""
    faults.in_phases(heartbeat)
    if "STAND_IN_RUNTIME" in os.environ:
        import stand_in_phases

        stand_in_phases.tell(heartbeat)


if "RANK" in os.environ and "IN_RANKS" in os.environ:
    settings = json.loads(os.environ["IN_RANKS"])
    faults = Faults(settings["faults"])
    sys.meta_path.insert(
        0,
        AfterImport(
            {
                "cloudmask.model.unet": narrow_network(settings["widths"]),
                "cloudmask.distributed.heartbeat": in_heartbeat,
                "h5py": faults.in_workers,
            }
        ),
    )
    faults.in_fsync()
