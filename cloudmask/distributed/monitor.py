"""What becomes of the ranks of a node: their own end, or the first thing that went wrong."""

from __future__ import annotations

import signal
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from cloudmask.distributed.heartbeat import START, Slot
from cloudmask.distributed.rank_processes import RankProcesses
from cloudmask.errors import EXIT_FAULT, EXIT_OK, EXIT_TARGET_MISSED, Stopped

if TYPE_CHECKING:  # it brings torch, which the supervisor of a single node does without
    from cloudmask.distributed.node_monitor import NodeMonitor

POLL = 0.1  # seconds
SETTLING = 0.5  # seconds in which the failures that a first one causes show too
# Before the first part of a run, kernels are compiled and connections made, without a beat.
START_TIMEOUT = 600.0  # seconds
GOOD_ENDS = (EXIT_OK, EXIT_TARGET_MISSED)


@dataclass(frozen=True)
class End:
    """How the ranks ended: with which exit code and, if not by themselves, what happened."""

    code: int
    reason: str = ""
    trace: str = ""


class Monitor:
    """Looks after the ranks of one node; `patience` is in seconds without progress."""

    def __init__(
        self,
        crew: RankProcesses,
        slots: Sequence[Slot],
        first_rank: int,
        patience: float,
        nodes: NodeMonitor | None,
    ) -> None:
        self.crew = crew
        self.slots = slots
        self.first_rank = first_rank
        self.patience = patience
        self.nodes = nodes
        self._suspended_since: dict[int, float] = {}

    def until_end(self) -> End:
        """Return when all ranks have ended well, or as soon as one thing has gone wrong."""
        while True:
            codes = self.crew.codes()
            if any(code not in (None, *GOOD_ENDS) for code in codes):
                time.sleep(SETTLING)
                return self._first_failure(self.crew.codes())
            if None not in codes:
                return End(max(code or EXIT_OK for code in codes))
            standstill = self._standstill([rank for rank, code in enumerate(codes) if code is None])
            if standstill:
                return End(EXIT_FAULT, standstill)
            time.sleep(POLL)

    def _first_failure(self, codes: Sequence[int | None]) -> End:
        """A rank that was killed says nothing; those that fail because of it do."""
        for local_rank, code in enumerate(codes):
            if code is not None and code < 0 and not self.slots[local_rank].failed:
                name = signal.Signals(-code).name
                return End(EXIT_FAULT, f"{self._where(local_rank)} was killed by {name}")
        told = [rank for rank, slot in enumerate(self.slots) if slot.failed]
        if told:
            first = min(told, key=lambda rank: self.slots[rank].failed)
            slot = self.slots[first]
            reason = slot.text("reason")
            if slot.text("part") != START:  # before it, all ranks are told the same
                reason = f"{self._where(first)}: {reason}"
            return End(slot.code, reason, slot.text("trace"))
        for local_rank, code in enumerate(codes):
            if code is not None and code > 128:
                return End(code, f"{self._where(local_rank)} was {Stopped(code - 128)}")
        local_rank = next(rank for rank, code in enumerate(codes) if code not in (None, *GOOD_ENDS))
        return End(EXIT_FAULT, f"{self._where(local_rank)} ended with code {codes[local_rank]}")

    def _standstill(self, running: Sequence[int]) -> str:
        """Who has not got on for too long, or ''."""
        now = time.monotonic()
        suspended = self.crew.suspended()
        self._suspended_since = {rank: self._suspended_since.get(rank, now) for rank in suspended}
        for rank, since in self._suspended_since.items():
            if now - since > self.patience:
                return f"{self._where(rank)} was suspended for {self.patience:g} s"
        for rank in running:
            patience = self.patience
            if self.slots[rank].text("part") == START:
                patience = max(patience, START_TIMEOUT)
            if not self.slots[rank].waiting and now - self.slots[rank].beat > patience:
                return f"{self._where(self._slowest(running))} did not get on for {patience:g} s"
        if self.nodes is not None and (lost := self.nodes.lost(self.patience)):
            return f"{lost} gave no sign for {self.patience:g} s"
        # A suspended rank is named in its time, and those who wait for it are not to blame.
        if not suspended and self._everyone_waits(running):
            return f"all ranks have waited for each other for {self.patience:g} s"
        return ""

    def _slowest(self, running: Sequence[int]) -> int:
        """The rank that the others wait for: a suspended one, or the one silent for longest."""
        return min(
            running, key=lambda rank: (rank not in self._suspended_since, self.slots[rank].beat)
        )

    def _everyone_waits(self, running: Sequence[int]) -> bool:
        """Whether nobody gets on, here or elsewhere: one who waits is not to blame for silence."""
        if not all(self.slots[rank].waiting for rank in running):
            return False
        elsewhere = self.nodes.least_silence() if self.nodes is not None else self.patience + 1
        return min(elsewhere, least_silence(self.slots)) > self.patience

    def _where(self, local_rank: int) -> str:
        return f"rank {self.first_rank + local_rank} in {self.slots[local_rank].text('part')}"


def least_silence(slots: Sequence[Slot]) -> float:
    """Seconds since any of these ranks last got on."""
    return time.monotonic() - max(slot.beat for slot in slots)
