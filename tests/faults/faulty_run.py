"""A run with a fault, and what is counted over all of them."""

from __future__ import annotations

import subprocess
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil

from cloudmask.checkpoints.folder import newest_first
from cloudmask.checkpoints.format import read_checkpoint
from cloudmask.errors import InputError
from cloudmask.mlperf.check.command import check
from cloudmask.mlperf.log.lines import read_lines
from cloudmask.mlperf.log.run_summary import read_summary
from tests.runs import epochs_of_checkpoints, values_of

HANG = 300  # seconds in which every run must have ended, however slow the machine is
TOKEN = "FAULT_TEST_TOKEN"


@dataclass
class Tally:
    """Counts over all faults; everything but `faults` should stay empty."""

    faults: set[str] = field(default_factory=set)
    hangs: list[str] = field(default_factory=list)
    left_processes: list[str] = field(default_factory=list)
    called_success: list[str] = field(default_factory=list)
    lost_checkpoints: list[str] = field(default_factory=list)


class FaultyRun:
    """A run in processes of its own, all of which have a token in their environment."""

    def __init__(
        self, name: str, process: subprocess.Popen[str], token: str, logs: Path, checkpoints: Path
    ) -> None:
        self.name = name
        self.process = process
        self.token = token
        self.logs = logs
        self.checkpoints = checkpoints
        self.output = self.error = ""

    @property
    def log(self) -> Path:
        """The log of the last start."""
        return self.all_logs[-1]

    @property
    def all_logs(self) -> list[Path]:
        """The logs of all starts, in their order."""
        return sorted(self.logs.glob("result_*.txt"), key=lambda path: int(path.stem[7:]))

    def finish(self, tally: Tally) -> int:
        """Wait for the end, count what it left behind, and return the exit code."""
        tally.faults.add(self.name.partition(",")[0])  # one for both nodes of a pair
        try:
            self.output, self.error = self.process.communicate(timeout=HANG)
        except subprocess.TimeoutExpired:
            tally.hangs.append(self.name)
            self.kill()
        code: int = self.process.returncode
        left = self._left_processes()
        called_success = [log for log in self.all_logs if code != 0 and is_called_success(log)]
        lost = code != 0 and self._newest_epoch() < self._last_epoch_in_logs()
        tally.left_processes += [f"{self.name}: {process}" for process in left]
        tally.called_success += [f"{self.name}: {log.name}" for log in called_success]
        tally.lost_checkpoints += [self.name] if lost else []
        assert self.name not in tally.hangs
        assert not left, self.error
        assert not called_success
        assert not lost
        return code

    def kill(self) -> None:
        """Kill all processes of the run."""
        for process in self._processes():
            process.kill()
        self.process.wait()

    def _left_processes(self) -> list[psutil.Process]:
        """Processes that are still there, zombies included; killed ones get a moment to go."""
        deadline = time.monotonic() + 10
        while (left := self._processes()) and time.monotonic() < deadline:
            time.sleep(0.1)
        return left

    def _processes(self) -> list[psutil.Process]:
        mark = f"{TOKEN}={self.token}".encode()
        found = []
        for process in psutil.process_iter():
            try:
                if mark in Path(f"/proc/{process.pid}/environ").read_bytes().split(b"\0"):
                    found.append(process)
            except OSError:  # it has ended in the meantime
                continue
        return found

    def _newest_epoch(self) -> int:
        """The epoch of the newest checkpoint that can be read; 0 without any."""
        for path in newest_first(self.checkpoints):
            try:
                return read_checkpoint(path).epoch
            except InputError:
                continue
        return 0

    def _last_epoch_in_logs(self) -> int:
        """The epoch of the last checkpoint that a log reports; 0 without any."""
        return max((x for log in self.all_logs for x in epochs_of_checkpoints(log)), default=0)


def is_called_success(log: Path) -> bool:
    """Whether the checker, or the summary, takes a log for that of a successful run."""
    try:
        summary = read_summary(log).status
    except InputError:  # it has no end, or no beginning
        summary = "none"
    return check(log).accepted or summary == "success"


def stops(log: Path) -> list[tuple[Any, Any]]:
    """Status and reason of every `run_stop` of a log."""
    metadata = [
        line.record["metadata"]
        for line in read_lines(log)
        if line.record is not None and line.record["key"] == "run_stop"
    ]
    return [(item["status"], item.get("reason")) for item in metadata]


def assert_reported(run: FaultyRun, reason: str) -> None:
    """One line on standard error, and the log, give this reason; the log ends as aborted."""
    assert run.error == f"cloudmask train: error: {reason}\n", run.error
    assert values_of(run.log, "fault") == [reason]
    assert stops(run.log) == [("aborted", reason)]
    assert read_summary(run.log).status == "aborted"
