"""The supervisor of a node: starts its ranks, and sees to it that every run ends, and says how.

Whatever befalls a rank, within a bounded time all ranks are gone, the log has an end, and one
line on standard error says what happened, and where.
"""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
import uuid
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from mlperf_logging.mllog import constants

from cloudmask.config import Config
from cloudmask.distributed.heartbeat import (
    FOLDER_VARIABLE,
    RESTARTS_VARIABLE,
    RUN_VARIABLE,
    Slot,
    make_board,
)
from cloudmask.distributed.monitor import End, Monitor, least_silence
from cloudmask.distributed.rank_processes import RankProcesses
from cloudmask.errors import EXIT_FAULT, InputError, Stopped
from cloudmask.files import PARTIAL
from cloudmask.mlperf.log.logger import RunLog

if TYPE_CHECKING:  # it brings torch, which the supervisor of a single node does without
    from cloudmask.distributed.rendezvous import Rendezvous

STOPPING = 30.0  # seconds that ranks have to end in good order after a stop signal


class Supervisor:
    """Looks after the ranks of this node, from the first start to the last restart."""

    def __init__(self, config: Config, arguments: Sequence[str]) -> None:
        self.config = config
        self.command = ["-m", "cloudmask", "train", *arguments]
        self.run_name = uuid.uuid4().hex

    def run(self) -> int:
        """Do the run, with as many restarts as are allowed; returns its exit code.

        Raises:
            InputError: a node did not come.
            Stopped: by a signal, which the ranks have obeyed.
        """
        restarts = 0
        while True:
            end = self._attempt(restarts)
            if end.trace:
                print(end.trace, file=sys.stderr, end="")
            if end.reason:
                print(f"cloudmask train: error: {end.reason}", file=sys.stderr, flush=True)
            if end.code != EXIT_FAULT or restarts == self.config.max_restarts:
                return end.code
            restarts += 1
            print(f"restart {restarts} of {self.config.max_restarts}", flush=True)

    def _attempt(self, restarts: int) -> End:
        """Start the ranks of this node, and return when all of them are gone."""
        # Before anything else: a node that does not come ends the run.
        meeting = _meet(self.config)
        folder = Path(tempfile.mkdtemp(prefix="cloudmask-"))
        try:
            slots = make_board(folder, self.config.processes_per_node)
            first_rank = meeting.place.rank * len(slots) if meeting else 0
            shared = {
                **_place_of_ranks(self.config, meeting),
                FOLDER_VARIABLE: str(folder),
                RUN_VARIABLE: self.run_name,
                RESTARTS_VARIABLE: str(restarts),
            }
            crew = RankProcesses(
                self.command,
                [
                    {**shared, "RANK": str(first_rank + local_rank), "LOCAL_RANK": str(local_rank)}
                    for local_rank in range(len(slots))
                ],
            )
            return self._look_after(crew, slots, first_rank, meeting)
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def _look_after(
        self,
        crew: RankProcesses,
        slots: Sequence[Slot],
        first_rank: int,
        meeting: Rendezvous | None,
    ) -> End:
        nodes = None
        if meeting is not None:
            from cloudmask.distributed.node_monitor import NodeMonitor

            nodes = NodeMonitor(meeting, lambda: least_silence(slots))
        reason = "the supervisor ended"  # by an error of its own
        try:
            patience = float(self.config.fault_timeout)
            end = Monitor(crew, slots, first_rank, patience, nodes).until_end()
            reason = end.reason
        except Stopped as stop:
            reason = str(stop)
            crew.signal(stop.number)
            crew.wait(STOPPING)
            raise
        finally:
            crew.end()
            if nodes is not None:
                nodes.leave()
            if reason:
                self._end_log(slots, reason)
        return end

    def _end_log(self, slots: Sequence[Slot], reason: str) -> None:
        """End the log for the ranks, if one of this node wrote it."""
        for written in filter(None, (slot.text("log") for slot in slots)):
            path = Path(written)
            try:
                end_log(path, reason)
            except (OSError, InputError) as error:
                print(f"log {path} could not be ended: {error}", file=sys.stderr)
            # No checkpoint of this run is being written any more.
            number = path.stem.removeprefix("result_")
            for partial in self.config.checkpoints.glob(f"checkpoint_{number}_*{PARTIAL}"):
                partial.unlink(missing_ok=True)


def _meet(config: Config) -> Rendezvous | None:
    if config.nodes == 1:
        return None
    # Before torch is there: it warns of addresses without a name. Errors are raised anyway.
    os.environ.setdefault("TORCH_CPP_LOG_LEVEL", "ERROR")
    from cloudmask.distributed.rendezvous import find_node, join_rendezvous

    return join_rendezvous(find_node(config), config.rendezvous_timeout)


def _place_of_ranks(config: Config, meeting: Rendezvous | None) -> Mapping[str, str]:
    """What the environment of every rank of this node says besides its own number."""
    size, cores = config.processes_per_node, len(os.sched_getaffinity(0))
    variables = {
        **os.environ,
        "WORLD_SIZE": str(config.world_size),
        "LOCAL_WORLD_SIZE": str(size),
    }
    variables.setdefault("TORCH_CPP_LOG_LEVEL", "ERROR")
    if config.world_size > 1:
        variables.setdefault("OMP_NUM_THREADS", str(max(1, cores // size)))
    if meeting is not None:
        place = meeting.place
        variables |= {"MASTER_ADDR": place.address, "MASTER_PORT": str(place.port)}
        if meeting.interface:
            # gloo takes the host name's address, which often is the loopback's.
            variables.setdefault("GLOO_SOCKET_IFNAME", meeting.interface)
    else:  # the ranks meet in the supervisor's folder
        variables.pop("MASTER_ADDR", None)
    return variables


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
