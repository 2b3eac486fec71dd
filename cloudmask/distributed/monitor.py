"""The monitor of a node: waits for its ranks to complete, or for the first fault."""

from __future__ import annotations

import signal
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from cloudmask.distributed.heartbeat import START_PHASE, RankStatus, seconds_since_progress
from cloudmask.distributed.rank_processes import RankProcesses
from cloudmask.errors import EXIT_FAULT, EXIT_OK, EXIT_TARGET_MISSED, Stopped, signal_name

if TYPE_CHECKING:  # it imports torch, which the supervisor of a single node does not need
    from cloudmask.distributed.node_monitor import NodeMonitor

POLL_INTERVAL = 0.1  # seconds
SETTLE_TIME = 0.5  # seconds in which the failures that a first one causes are reported too
# Before the first phase, kernels are compiled and connections made without reporting progress.
START_TIMEOUT = 600.0  # seconds
COMPLETED = (EXIT_OK, EXIT_TARGET_MISSED)


@dataclass(frozen=True)
class Outcome:
    """The exit code of a run and, after a fault, its reason; the traceback is optional."""

    exit_code: int
    reason: str = ""
    traceback: str = ""


class Monitor:
    """Monitors the ranks of one node; `timeout` is in seconds without progress."""

    def __init__(
        self,
        processes: RankProcesses,
        statuses: Sequence[RankStatus],
        first_rank: int,
        timeout: float,
        nodes: NodeMonitor | None,
    ) -> None:
        self.processes = processes
        self.statuses = statuses
        self.first_rank = first_rank
        self.timeout = timeout
        self.nodes = nodes
        self._suspended_since: dict[int, float] = {}

    def wait(self) -> Outcome:
        """Return when all ranks have completed, or at the first fault."""
        while True:
            codes = self.processes.exit_codes()
            if any(code not in (None, *COMPLETED) for code in codes):
                time.sleep(SETTLE_TIME)
                return self.first_failure(self.processes.exit_codes())
            if None not in codes:
                return Outcome(max(code or EXIT_OK for code in codes))
            running = [rank for rank, code in enumerate(codes) if code is None]
            if stall := self.find_stall(running, time.monotonic()):
                return Outcome(EXIT_FAULT, stall)
            time.sleep(POLL_INTERVAL)

    def first_failure(self, codes: Sequence[int | None]) -> Outcome:
        """The failure that caused the others, from the exit codes by local rank."""
        # A killed rank reports nothing, but the ranks that fail because of it do.
        for local_rank, code in enumerate(codes):
            if code is not None and code < 0 and not self.statuses[local_rank].failed_at:
                reason = f"{self._describe(local_rank)} was killed by {signal_name(-code)}"
                return Outcome(EXIT_FAULT, reason)
        failed = [rank for rank, status in enumerate(self.statuses) if status.failed_at]
        if failed:
            first = min(failed, key=lambda rank: self.statuses[rank].failed_at)
            status = self.statuses[first]
            reason = status.text("reason")
            if status.text("phase") != START_PHASE:  # there, all ranks fail for the same reason
                reason = f"{self._describe(first)}: {reason}"
            return Outcome(status.exit_code, reason, status.text("traceback"))
        local_rank, code = next(
            (rank, code) for rank, code in enumerate(codes) if code and code not in COMPLETED
        )
        if code - 128 in signal.valid_signals():
            return Outcome(code, f"{self._describe(local_rank)} was {Stopped(code - 128)}")
        return Outcome(EXIT_FAULT, f"{self._describe(local_rank)} exited with code {code}")

    def find_stall(self, running: Sequence[int], now: float) -> str:
        """Describe the rank or node that made no progress within the timeout, or ''.

        Args:
            running: local ranks that have not exited.
            now: time of the monotonic clock in seconds.
        """
        suspended = self.processes.suspended()
        self._suspended_since = {rank: self._suspended_since.get(rank, now) for rank in suspended}
        for rank in running:
            status, timeout = self.statuses[rank], self.timeout
            since = self._suspended_since.get(rank, now if status.waiting else status.last_progress)
            if status.text("phase") == START_PHASE and rank not in suspended:
                timeout = max(timeout, START_TIMEOUT)
            if now - since > timeout:
                slowest = self._slowest(running)
                fault = "was suspended" if slowest in suspended else "made no progress"
                return f"{self._describe(slowest)} {fault} for {timeout:g} s"
        if self.nodes is not None and (lost := self.nodes.lost(self.timeout, now)):
            return f"{lost} sent no heartbeat for {self.timeout:g} s"
        # Ranks that wait for a suspended one are not at fault: its own timeout is running.
        if not suspended and self._all_wait(running, now):
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
        """Whether all ranks wait, and none on any node made progress within the timeout."""
        if not all(self.statuses[rank].waiting for rank in running):
            return False
        here = seconds_since_progress(self.statuses, now)
        elsewhere = here if self.nodes is None else self.nodes.seconds_since_progress()
        return min(here, elsewhere) > self.timeout

    def _describe(self, local_rank: int) -> str:
        return f"rank {self.first_rank + local_rank} in {self.statuses[local_rank].text('phase')}"
