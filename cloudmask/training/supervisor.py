"""The supervisor of a node: starts its ranks, and sees to it that every run ends, and says how.

Whatever befalls a rank, within a bounded time all ranks are gone, the log has an end, and one
line on standard error says what happened, and where.
"""

from __future__ import annotations

import os
import shutil
import signal
import sys
import tempfile
import time
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from mlperf_logging.mllog import constants

from cloudmask.config import Config
from cloudmask.errors import EXIT_FAULT, EXIT_OK, EXIT_TARGET_MISSED, InputError, Stopped
from cloudmask.mlperf.logger import RunLog
from cloudmask.training.crew import Crew
from cloudmask.training.durable import PARTIAL
from cloudmask.training.pulse import (
    FOLDER_VARIABLE,
    RESTARTS_VARIABLE,
    RUN_VARIABLE,
    START,
    make_board,
)

if TYPE_CHECKING:  # they bring torch, which the supervisor of a single node does without
    from cloudmask.training.node_watch import NodeWatch
    from cloudmask.training.rendezvous import Meeting

POLL = 0.1  # seconds
SETTLING = 0.5  # seconds in which the failures that a first one causes show too
STOPPING = 30.0  # seconds that ranks have to end in good order after a stop signal
# Before the first part of a run, kernels are compiled and connections made, without a beat.
START_PATIENCE = 600.0  # seconds


@dataclass(frozen=True)
class End:
    """How an attempt ended: its exit code and, unless it came to its own end, what happened."""

    code: int
    reason: str = ""
    trace: str = ""


class Supervisor:
    """Watches over the ranks of one node, from first start to last restart."""

    def __init__(self, config: Config, arguments: Sequence[str]) -> None:
        self.config = config
        self.arguments = arguments
        self.run_id = uuid.uuid4().hex

    def run(self) -> int:
        """Do the run, with as many restarts as are allowed; returns its exit code.

        Raises:
            InputError: a node did not come.
        """
        for restarts in range(self.config.max_restarts + 1):
            end = Attempt(self.config, self.arguments, self.run_id, restarts).run()
            if end.trace:
                print(end.trace, file=sys.stderr, end="")
            if end.reason:
                print(f"cloudmask train: error: {end.reason}", file=sys.stderr, flush=True)
            if end.code != EXIT_FAULT:
                break
            if restarts < self.config.max_restarts:
                print(f"restart {restarts + 1} of {self.config.max_restarts}", flush=True)
        return end.code


class Attempt:
    """One start of the ranks of this node, until all of them are gone."""

    def __init__(
        self, config: Config, arguments: Sequence[str], run_id: str, restarts: int
    ) -> None:
        self.config = config
        self.patience = float(config.fault_timeout)
        self.folder = Path(tempfile.mkdtemp(prefix="cloudmask-"))
        self.meeting = _meet(config)
        self.first_rank = config.processes_per_node * (
            self.meeting.place.rank if self.meeting else 0
        )
        self.slots = make_board(self.folder, config.processes_per_node)
        self.command = ["-m", "cloudmask", "train", *arguments]
        self.identity = {RUN_VARIABLE: run_id, RESTARTS_VARIABLE: str(restarts)}
        self.stopped_since: dict[int, float] = {}
        self.nodes: NodeWatch | None = None

    def run(self) -> End:
        """Start, watch, and clear up."""
        crew = Crew(self.command, self._environments())
        try:
            if self.meeting:
                from cloudmask.training.node_watch import NodeWatch

                self.nodes = NodeWatch(self.meeting, self._least_silence)
            end = self._watch(crew)
        except Stopped as stop:
            crew.signal(stop.number)
            crew.wait(STOPPING)
            end = End(128 + stop.number, str(stop))
        finally:
            crew.end()
            if self.nodes:
                self.nodes.leave()
            shutil.rmtree(self.folder, ignore_errors=True)
        if end.reason:
            self._end_log(end.reason)
        return End(end.code) if end.code > 128 else end

    def _watch(self, crew: Crew) -> End:
        while True:
            codes = crew.codes()
            if any(code not in (None, EXIT_OK, EXIT_TARGET_MISSED) for code in codes):
                time.sleep(SETTLING)
                return self._first_failure(crew.codes())
            if None not in codes:
                return End(max(code or EXIT_OK for code in codes))
            standstill = self._standstill(crew, codes)
            if standstill:
                return End(EXIT_FAULT, standstill)
            time.sleep(POLL)

    def _first_failure(self, codes: Sequence[int | None]) -> End:
        """What failed first: a rank that was killed says nothing, the others fail because of it."""
        for local_rank, code in enumerate(codes):
            if code is not None and code < 0 and not self.slots[local_rank].failed:
                name = signal.Signals(-code).name
                return End(EXIT_FAULT, f"{self._where(local_rank)} was killed by {name}")
        told = [rank for rank, slot in enumerate(self.slots) if slot.failed]
        if told:
            first = min(told, key=lambda rank: self.slots[rank].failed)
            slot = self.slots[first]
            reason = slot.text("reason")
            if slot.text("part") != START:
                reason = f"{self._where(first)}: {reason}"
            return End(slot.code, reason, slot.text("trace"))
        local_rank, code = next(
            (rank, code)
            for rank, code in enumerate(codes)
            if code not in (None, EXIT_OK, EXIT_TARGET_MISSED)
        )
        assert code is not None
        if code > 128:
            return End(code, f"{self._where(local_rank)} was {Stopped(code - 128)}")
        return End(EXIT_FAULT, f"{self._where(local_rank)} ended with exit code {code}")

    def _standstill(self, crew: Crew, codes: Sequence[int | None]) -> str:
        """Who has not got on for too long, or ''."""
        now = time.monotonic()
        suspended = crew.stopped()
        since = self.stopped_since
        self.stopped_since = {rank: since.get(rank, now) for rank in suspended}
        for rank, when in self.stopped_since.items():
            if now - when > self.patience:
                return f"{self._where(rank)} was suspended for {self.patience:g} s"
        running = [rank for rank, code in enumerate(codes) if code is None]
        for rank in running:
            slot = self.slots[rank]
            patience = START_PATIENCE if slot.text("part") == START else self.patience
            if not slot.waiting and now - slot.beat > max(patience, self.patience):
                return f"{self._where(self._slowest(running))} did not get on for {patience:g} s"
        if self.nodes and (lost := self.nodes.lost(self.patience)):
            return f"{lost} gave no sign for {self.patience:g} s"
        others = self.nodes.least_silence() if self.nodes else self.patience + 1
        if min(others, self._least_silence()) > self.patience and self._all_wait(running):
            return f"all ranks waited for each other for {self.patience:g} s"
        return ""

    def _slowest(self, running: Sequence[int]) -> int:
        """The rank that the others wait for: a suspended one, or the one silent for longest."""
        return min(
            running, key=lambda rank: (rank not in self.stopped_since, self.slots[rank].beat)
        )

    def _all_wait(self, running: Sequence[int]) -> bool:
        return all(self.slots[rank].waiting for rank in running)

    def _least_silence(self) -> float:
        return time.monotonic() - max(slot.beat for slot in self.slots)

    def _where(self, local_rank: int) -> str:
        part = self.slots[local_rank].text("part")
        return f"rank {self.first_rank + local_rank} in {part}"

    def _environments(self) -> list[Mapping[str, str]]:
        config, size = self.config, self.config.processes_per_node
        cores = len(os.sched_getaffinity(0))
        shared = {
            "WORLD_SIZE": str(config.world_size),
            "LOCAL_WORLD_SIZE": str(size),
            FOLDER_VARIABLE: str(self.folder),
            **self.identity,
        }
        if config.world_size > 1:
            os.environ.setdefault("OMP_NUM_THREADS", str(max(1, cores // size)))
        # It warns of addresses without a name. Errors are raised anyway.
        os.environ.setdefault("TORCH_CPP_LOG_LEVEL", "ERROR")
        if self.meeting:
            place = self.meeting.place
            shared |= {"MASTER_ADDR": place.address, "MASTER_PORT": str(place.port)}
            if self.meeting.interface:
                # gloo takes the host name's address, which often is the loopback's.
                os.environ.setdefault("GLOO_SOCKET_IFNAME", self.meeting.interface)
        return [
            {**os.environ, **shared, "RANK": str(self.first_rank + rank), "LOCAL_RANK": str(rank)}
            for rank in range(size)
        ]

    def _end_log(self, reason: str) -> None:
        """End the log for the ranks, where one of this node wrote it and there is one."""
        written = [slot.text("log") for slot in self.slots if slot.log]
        if not written:
            return
        path = Path(written[0])
        try:
            end_log(path, reason)
        except (OSError, InputError) as error:
            print(f"log {path} could not be ended: {error}", file=sys.stderr)
        _sweep(self.config, path)


def _meet(config: Config) -> Meeting | None:
    if config.nodes == 1:
        return None
    from cloudmask.training.rendezvous import find_place, meet

    return meet(find_place(config), config.rendezvous_timeout)


def end_log(path: Path, reason: str) -> None:
    """Add to a log that its run did not come to its own end, and `run_stop` if that is missing.

    Raises:
        OSError, InputError: it cannot be written.
    """
    text = path.read_bytes()
    if text and not text.endswith(b"\n"):  # the last line was cut short
        with path.open("ab") as file:
            file.write(b"\n")
    with RunLog(path) as log:
        if f'"key": "{constants.RUN_STOP}"'.encode() not in text:
            log.end(constants.RUN_STOP, status=constants.ABORTED, reason=reason)
        log.event("fault", reason)


def _sweep(config: Config, log: Path) -> None:
    """Remove checkpoints of this run that were being written when it ended."""
    number = log.stem.removeprefix("result_")
    for partial in config.checkpoints.glob(f"checkpoint_{number}_*{PARTIAL}"):
        partial.unlink(missing_ok=True)
