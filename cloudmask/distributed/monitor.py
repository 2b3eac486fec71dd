"""The monitor of a supervisor: waits for its ranks to complete, or for the first fault."""

from __future__ import annotations

import signal
import time
from collections.abc import Sequence
from dataclasses import dataclass

from cloudmask.distributed.heartbeat import START_PHASE, RankStatus, seconds_since_progress
from cloudmask.distributed.rank_processes import RankProcesses
from cloudmask.errors import (
    EXIT_FAULT,
    EXIT_INPUT,
    EXIT_OK,
    EXIT_TARGET_MISSED,
    Stopped,
    signal_name,
)
from cloudmask.machine.system.cgroups import out_of_memory_kills

POLL_INTERVAL = 0.1  # seconds
SETTLE_TIME = 0.5  # seconds in which the failures that a first one causes are reported too
# Before the first phase, kernels are compiled and connections made without reporting progress.
START_TIMEOUT = 600.0  # seconds
# A rank that waits in vain for one of another supervisor gives up by itself after the timeout, and
# is not to be blamed before.
LONGEST_MARGIN = 10.0  # seconds
COMPLETED = (EXIT_OK, EXIT_TARGET_MISSED)


@dataclass(frozen=True)
class Outcome:
    """The exit code of a run and, after a fault, its reason; the traceback is optional.

    It may be only a consequence: of the failure of a rank that another supervisor has.
    """

    exit_code: int
    reason: str = ""
    traceback: str = ""
    is_consequence: bool = False


class Monitor:
    """Monitors the ranks of one supervisor.

    Args:
        timeout: seconds without progress.
        is_whole: whether these are all ranks of the run.
    """

    def __init__(
        self,
        processes: RankProcesses,
        statuses: Sequence[RankStatus],
        first_rank: int,
        timeout: float,
        is_whole: bool = True,
    ) -> None:
        self.processes = processes
        self.statuses = statuses
        self.first_rank = first_rank
        self.timeout = timeout
        self.is_whole = is_whole
        self._suspended_since: dict[int, float] = {}
        self._last_seen = [time.monotonic()] * len(statuses)
        self._kills_before = out_of_memory_kills()

    def wait(self) -> Outcome:
        """Return when all ranks have completed, or at the first fault."""
        while True:
            codes = self._exit_codes()
            if any(code not in (None, *COMPLETED) for code in codes):
                time.sleep(SETTLE_TIME)
                return self.first_failure(self._exit_codes())
            if None not in codes:
                return Outcome(max(code or EXIT_OK for code in codes))
            running = [rank for rank, code in enumerate(codes) if code is None]
            if stall := self.find_stall(running, time.monotonic()):
                return Outcome(EXIT_FAULT, stall)
            time.sleep(POLL_INTERVAL)

    def _exit_codes(self) -> list[int | None]:
        codes = self.processes.exit_codes()
        now = time.monotonic()
        self._last_seen = [
            now if code is None else seen for code, seen in zip(codes, self._last_seen, strict=True)
        ]
        return codes

    def first_failure(self, codes: Sequence[int | None]) -> Outcome:
        """The failure that caused the others, from the exit codes by local rank.

        That of a rank that another one pulled along counts only if there is no other.
        """
        # A killed rank reports nothing: it was last seen just before.
        failures = [
            (status.failed_at, self._reported(rank))
            if status.failed_at
            else (self._last_seen[rank], self._unreported(rank, code))
            for rank, (status, code) in enumerate(zip(self.statuses, codes, strict=True))
            if status.failed_at or (code and code not in COMPLETED)
        ]
        return min(failures, key=lambda failure: (failure[1].is_consequence, failure[0]))[1]

    def _reported(self, local_rank: int) -> Outcome:
        status = self.statuses[local_rank]
        reason = status.text("reason")
        if status.text("phase") != START_PHASE:  # there, all ranks fail for the same reason
            reason = f"{self._describe(local_rank)}: {reason}"
        traceback = status.text("traceback")
        return Outcome(status.exit_code, reason, traceback, status.is_consequence)

    def _unreported(self, local_rank: int, code: int | None) -> Outcome:
        assert code is not None
        name = self._describe(local_rank)
        if code == -signal.SIGKILL and out_of_memory_kills() > self._kills_before:
            return Outcome(
                EXIT_INPUT,
                f"{name} was killed because the memory of the machine ran out: use fewer "
                "processes_per_node or workers, or store mapped",
            )
        if code < 0:  # NCCL and the C++ runtime abort a rank that lost another
            reason = f"{name} was killed by {signal_name(-code)}"
            return Outcome(EXIT_FAULT, reason, is_consequence=code == -signal.SIGABRT)
        if code - 128 in signal.valid_signals():
            return Outcome(code, f"{name} was {Stopped(code - 128)}")
        return Outcome(EXIT_FAULT, f"{name} exited with code {code}")

    def find_stall(self, running: Sequence[int], now: float) -> str:
        """Describe the rank that made no progress within the timeout, or ''.

        Args:
            running: local ranks that have not exited.
            now: time of the monotonic clock in seconds.
        """
        suspended = self.processes.suspended()
        self._suspended_since = {rank: self._suspended_since.get(rank, now) for rank in suspended}
        margin = 0.0 if self.is_whole else min(self.timeout, LONGEST_MARGIN)
        for rank in running:
            status, timeout = self.statuses[rank], self.timeout
            since = self._suspended_since.get(rank, now if status.waiting else status.last_progress)
            if rank not in suspended:
                timeout += margin
                if status.text("phase") == START_PHASE:
                    timeout = max(timeout, START_TIMEOUT)
            if now - since > timeout:
                slowest = self._slowest(running)
                fault = "was suspended" if slowest in suspended else "made no progress"
                return f"{self._describe(slowest)} {fault} for {timeout:g} s"
        # Ranks that wait for a suspended one are not at fault: its own timeout is running.
        if self.is_whole and not suspended and self._all_wait(running, now):
            return f"all ranks waited for each other for {self.timeout:g} s"
        return ""

    def _slowest(self, running: Sequence[int]) -> int:
        """The rank that the others wait for: suspended, or the one longest without progress."""
        return min(
            running,
            key=lambda rank: (
                rank not in self._suspended_since,
                self.statuses[rank].waiting,
                self.statuses[rank].last_progress,
            ),
        )

    def _all_wait(self, running: Sequence[int], now: float) -> bool:
        """Whether all ranks of the run wait, and none made progress within the timeout."""
        return (
            all(self.statuses[rank].waiting for rank in running)
            and seconds_since_progress(self.statuses, now) > self.timeout
        )

    def _describe(self, local_rank: int) -> str:
        return f"rank {self.first_rank + local_rank} in {self.statuses[local_rank].text('phase')}"
