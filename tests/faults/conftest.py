"""Faults injected into real runs, and what they left behind, counted over all tests."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import psutil
import pytest

from cloudmask.checkpoints.folder import newest_first
from cloudmask.checkpoints.format import read_checkpoint
from cloudmask.errors import EXIT_OK, InputError
from cloudmask.mlperf.check.command import check
from cloudmask.mlperf.log.run_summary import read_summary
from tests.paths import ROOT

FAULT_TIMEOUT = 15  # seconds; also for a step on a machine that does other things besides
HANG = 300  # seconds after a fault in which a run must have ended, whatever the machine does
TOKEN = "FAULT_TEST_TOKEN"
# The line of the log behind which a moment of the run has begun.
MOMENTS = {
    "staging": '"staging_start"',
    "epoch": '"epoch_start"',
    "evaluation": '"eval_start"',
    "inference": '"run_stop"',
}


@dataclass
class Tally:
    """What all injected faults came to; everything but `faults` should stay empty."""

    faults: set[str] = field(default_factory=set)
    hangs: list[str] = field(default_factory=list)
    left_processes: list[str] = field(default_factory=list)
    called_success: list[str] = field(default_factory=list)
    lost_checkpoints: list[str] = field(default_factory=list)


@pytest.fixture(scope="session")
def tally() -> Tally:
    """One tally for the whole session."""
    return Tally()


class FaultyRun:
    """A run in processes of its own, which something is done to, and what remains of it."""

    def __init__(self, name: str, process: subprocess.Popen[str], token: str, logs: Path) -> None:
        self.name = name
        self.process = process
        self.token = token
        self.logs = logs
        self.checkpoints = logs
        self.seen: set[psutil.Process] = set()
        self.newest_good = 0
        self.output = self.error = ""

    @property
    def log(self) -> Path:
        """The log of the last start."""
        return max(self.logs.glob("result_*.txt"), key=lambda path: int(path.stem[7:]))

    def wait_until(self, condition: Callable[[], object]) -> None:
        """Return when the condition holds; fail if the run ends before, or after minutes."""
        deadline = time.monotonic() + 300
        while not condition():
            if self.process.poll() is not None or time.monotonic() > deadline:
                self.process.kill()
                pytest.fail(f"{self.name}: never came so far: {self.process.communicate()}")
            time.sleep(0.003)

    def wait_for(self, moment: str, log: str = "result_0.txt") -> None:
        """Return as soon as a moment of the run has begun."""
        if moment == "checkpoint":
            self.wait_until(lambda: list(self.checkpoints.glob("checkpoint_*.part")))
        else:
            path = self.logs / log
            self.wait_until(lambda: path.exists() and MOMENTS[moment] in path.read_text())

    def rank(self, rank: int) -> psutil.Process:
        """The process of a rank."""
        for child in psutil.Process(self.process.pid).children():
            if child.environ().get("RANK") == str(rank):
                return child
        raise AssertionError(f"{self.name}: no rank {rank}")

    def worker(self, rank: int) -> psutil.Process:
        """The process that reads scenes for a rank: a fork of it."""
        of_rank = self.rank(rank)
        forks = [child for child in of_rank.children() if child.cmdline() == of_rank.cmdline()]
        assert len(forks) == 1, forks
        return forks[0]

    def strike(self, process: psutil.Process, number: signal.Signals) -> None:
        """The fault: a signal; whatever runs at this moment is remembered."""
        self.remember()
        process.send_signal(number)

    def remember(self) -> None:
        """Note processes and checkpoints, for the count at the end."""
        self.seen |= set(psutil.Process(self.process.pid).children(recursive=True))
        self.newest_good = self._newest_good()

    def finish(self, tally: Tally) -> int:
        """Wait for the end, count what is left, and give the exit code."""
        tally.faults.add(self.name.partition(",")[0])  # one for both nodes of a pair
        try:
            self.output, self.error = self.process.communicate(timeout=HANG)
        except subprocess.TimeoutExpired:
            tally.hangs.append(self.name)
            self.process.kill()
        left = self._left()
        if left:
            tally.left_processes.append(f"{self.name}: {left}")
        for process in left:
            process.kill()
        for path in self.logs.glob("result_*.txt"):
            if self.process.returncode != EXIT_OK and called_success(path):
                tally.called_success.append(f"{self.name}: {path.name}")
        if self.process.returncode != EXIT_OK and self._newest_good() < self.newest_good:
            tally.lost_checkpoints.append(self.name)
        assert not left, self.error
        assert self.name not in tally.hangs
        assert not any(entry.startswith(self.name) for entry in tally.called_success)
        assert self.name not in tally.lost_checkpoints
        code: int = self.process.returncode
        return code

    def _left(self) -> list[psutil.Process]:
        """Processes of the run that are still there, zombies included; the kernel gets a moment."""
        deadline = time.monotonic() + 10
        while left := [process for process in self._all() if process.is_running()]:
            if time.monotonic() > deadline:
                break
            time.sleep(0.1)
        return left

    def _all(self) -> set[psutil.Process]:
        mark = f"{TOKEN}={self.token}".encode()
        found = set()
        for process in psutil.process_iter():
            try:
                if mark in Path(f"/proc/{process.pid}/environ").read_bytes().split(b"\0"):
                    found.add(process)
            except OSError:  # it has ended in the meantime
                continue
        return found | self.seen

    def _newest_good(self) -> int:
        """The epoch of the newest checkpoint that can be read; 0 without any."""
        for path in newest_first(self.checkpoints):
            try:
                return read_checkpoint(path).epoch
            except InputError:
                continue
        return 0


def called_success(log: Path) -> bool:
    """Whether the checker, or the summary, takes a log for that of a successful run."""
    try:
        summary = read_summary(log).status
    except InputError:  # it has no end, or no beginning
        summary = "none"
    return check(log).accepted or summary == "success"


@pytest.fixture
def start(two_scenes: Path, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[object]:
    """A function that starts a run on tiny data with these flags and variables."""
    started: list[FaultyRun] = []

    def start_run(*flags: object, ranks: int = 1, **variables: str) -> FaultyRun:
        token = uuid.uuid4().hex
        process = subprocess.Popen(
            [
                *(sys.executable, "-m", "cloudmask", "train"),
                *("--datadir", two_scenes, "--logdir", tmp_path / "logs"),
                *("--processes-per-node", str(ranks), "--batch-size", str(4 // ranks)),
                *("--recipe=reference", "--workers=1", "--clear-caches=false"),
                *(f"--fault-timeout={FAULT_TIMEOUT}", *map(str, flags)),
            ],
            cwd=ROOT,
            env={**os.environ, "TMPDIR": str(tmp_path), **variables, TOKEN: token},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        run = FaultyRun(request.node.name, process, token, tmp_path / "logs")
        started.append(run)
        return run

    yield start_run
    for run in started:
        for process in run._all():
            if process.is_running():
                process.kill()
        run.process.wait()
