"""The supervisor of a node: starts the ranks, monitors them, and ends the run after a fault.

After any fault of a rank, within a bounded time all ranks have exited, the log is complete, and
one line on standard error gives the reason.
"""

from __future__ import annotations

import os
import shutil
import sys
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
    RankStatus,
    create_status_file,
)
from cloudmask.distributed.monitor import Monitor, Outcome
from cloudmask.distributed.rank_processes import RankProcesses, become_subreaper
from cloudmask.errors import EXIT_FAULT, InputError, Stopped
from cloudmask.files import PARTIAL, make_temporary_folder
from cloudmask.machine.system.cgroups import usable_cores
from cloudmask.mlperf.log.logger import RunLog

if TYPE_CHECKING:  # it imports torch, which the supervisor of a single node does not need
    from cloudmask.distributed.rendezvous import Rendezvous

STOP_TIMEOUT = 30.0  # seconds after a stop signal until ranks that still run are killed


class Supervisor:
    """Supervises the ranks of this node, through all restarts."""

    def __init__(self, config: Config, arguments: Sequence[str]) -> None:
        self.config = config
        self.command = ["-m", "cloudmask", "train", *arguments]
        self.run_name = uuid.uuid4().hex

    def run(self) -> int:
        """Run, and restart after faults up to `max_restarts` times; returns the exit code.

        Raises:
            InputError: a node did not join.
            Stopped: a stop signal; the ranks have exited.
        """
        become_subreaper()
        restarts = 0
        while True:
            outcome = self._run_once(restarts)
            if outcome.traceback:
                print(outcome.traceback, file=sys.stderr, end="")
            if outcome.reason:
                print(f"cloudmask train: error: {outcome.reason}", file=sys.stderr, flush=True)
            if outcome.exit_code != EXIT_FAULT or restarts == self.config.max_restarts:
                return outcome.exit_code
            restarts += 1
            print(f"restart {restarts} of {self.config.max_restarts}", flush=True)

    def _run_once(self, restarts: int) -> Outcome:
        """Start the ranks of this node; returns when all have exited."""
        rendezvous = _join(self.config)  # first, because a missing node ends the run
        folder = make_temporary_folder()
        try:
            statuses = create_status_file(folder, self.config.processes_per_node)
            first_rank = rendezvous.node.rank * len(statuses) if rendezvous else 0
            shared = {
                **_rank_environment(self.config, rendezvous),
                FOLDER_VARIABLE: str(folder),
                RUN_VARIABLE: self.run_name,
                RESTARTS_VARIABLE: str(restarts),
            }
            processes = RankProcesses(
                self.command,
                [
                    {**shared, "RANK": str(first_rank + local_rank), "LOCAL_RANK": str(local_rank)}
                    for local_rank in range(len(statuses))
                ],
            )
            return self._supervise(processes, statuses, first_rank, rendezvous)
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def _supervise(
        self,
        processes: RankProcesses,
        statuses: Sequence[RankStatus],
        first_rank: int,
        rendezvous: Rendezvous | None,
    ) -> Outcome:
        nodes = None
        if rendezvous is not None:
            from cloudmask.distributed.node_monitor import NodeMonitor

            nodes = NodeMonitor(rendezvous, statuses)
        reason = "the supervisor failed"
        try:
            timeout = float(self.config.fault_timeout)
            outcome = Monitor(processes, statuses, first_rank, timeout, nodes).wait()
            reason = outcome.reason
        except Stopped as stopped:
            reason = str(stopped)
            processes.stop(stopped.number, STOP_TIMEOUT)
            raise
        finally:
            processes.kill()
            if nodes is not None:
                nodes.close()
            if reason:
                self._complete_log(statuses, reason)
        return outcome

    def _complete_log(self, statuses: Sequence[RankStatus], reason: str) -> None:
        """Add the fault to the log, if a rank of this node wrote it."""
        for path in [Path(status.text("log")) for status in statuses if status.text("log")]:
            try:
                log_fault(path, reason)
            except (OSError, InputError) as error:
                print(f"log {path} could not be completed: {error}", file=sys.stderr)
            # No checkpoint of this run is being written any more.
            number = path.stem.removeprefix("result_")
            for partial in self.config.checkpoints.glob(f"checkpoint_{number}_*{PARTIAL}"):
                partial.unlink(missing_ok=True)


def _join(config: Config) -> Rendezvous | None:
    if config.nodes == 1:
        return None
    # Before torch is imported: it warns of addresses without a name. Errors are raised anyway.
    os.environ.setdefault("TORCH_CPP_LOG_LEVEL", "ERROR")
    from cloudmask.distributed.rendezvous import find_node, join_rendezvous

    return join_rendezvous(find_node(config), config.rendezvous_timeout)


def _rank_environment(config: Config, rendezvous: Rendezvous | None) -> Mapping[str, str]:
    """The environment of every rank of this node, except for its rank."""
    size, cores = config.processes_per_node, usable_cores()
    world = {"WORLD_SIZE": str(config.world_size), "LOCAL_WORLD_SIZE": str(size)}
    # A GPU that fails is reported by the rank; NCCL's watchdog would abort the process before.
    quiet = {"TORCH_CPP_LOG_LEVEL": "ERROR", "TORCH_NCCL_RETHROW_CUDA_ERRORS": "0"}
    variables = {**quiet, **os.environ, **world}
    # For what else than torch has threads; torch's are limited by the rank itself.
    if size > 1:
        variables.setdefault("OMP_NUM_THREADS", str(max(1, cores // size)))
    if rendezvous is not None:
        node = rendezvous.node
        variables |= {"MASTER_ADDR": node.address, "MASTER_PORT": str(node.port)}
        if rendezvous.interface:
            # gloo takes the host name's address, which often is the loopback's.
            variables.setdefault("GLOO_SOCKET_IFNAME", rendezvous.interface)
    else:  # the process group uses a file in the supervisor's folder
        variables.pop("MASTER_ADDR", None)
    return variables


def log_fault(path: Path, reason: str) -> None:
    """Append the `fault` event to a log and, if it is missing, `run_stop` as aborted.

    Raises:
        OSError, InputError: the log cannot be written.
    """
    text = path.read_bytes()
    if text and not text.endswith(b"\n"):  # the last line was truncated
        with path.open("ab") as file:
            file.write(b"\n")
    with RunLog(path) as log:
        if f'"key": "{constants.RUN_STOP}"'.encode() not in text:
            log.end(constants.RUN_STOP, status=constants.ABORTED, reason=reason)
        log.event("fault", reason)
