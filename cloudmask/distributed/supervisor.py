"""The supervisor: starts the ranks of a node, or one, and ends the run after a fault.

After any fault of a rank, within a bounded time all ranks have exited, the log is complete, and
one line on standard error gives the reason. The first cause is printed and logged before anything
is torn down.
"""

from __future__ import annotations

import os
import shutil
import sys
import uuid
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
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
from cloudmask.distributed.launcher import AGENT_STORE, Part, interface_towards
from cloudmask.distributed.monitor import Monitor, Outcome
from cloudmask.distributed.rank_processes import RankProcesses, become_subreaper
from cloudmask.errors import EXIT_FAULT, EXIT_OK, InputError, Stopped, ignore_stop_signals
from cloudmask.files import PARTIAL, make_temporary_folder
from cloudmask.machine.system.cgroups import usable_cores
from cloudmask.mlperf.log.logger import RunLog

if TYPE_CHECKING:  # it imports torch, which the supervisor of a whole run does not need
    from cloudmask.distributed.run_store import RunStore

# Seconds after a stop signal until ranks that still run are killed. Launchers kill everything
# after 30 s.
STOP_TIMEOUT = 20.0
REACH_TIMEOUT = 2.0  # seconds to reach the store after a failure: it is there, or its node is lost


class Supervisor:
    """Supervises the ranks of a part of a run; all of them, through all restarts.

    Raises:
        InputError: `max_restarts` of a run in several parts, which its launcher has to restart.
    """

    def __init__(self, config: Config, arguments: Sequence[str], part: Part) -> None:
        if config.max_restarts and not part.is_whole:
            raise InputError(
                f"max_restarts is {config.max_restarts} but the ranks of this run are started one "
                "by one or on several nodes: let the launcher restart them "
                "(torchrun --max-restarts, or --resume auto in another job)"
            )
        self.config = config
        self.command = ["-m", "cloudmask", "train", *arguments]
        self.part = part
        self.run_name = uuid.uuid4().hex

    def run(self) -> int:
        """Run, and restart after faults up to `max_restarts` times; returns the exit code.

        Raises:
            InputError: the ranks cannot meet at this address or port.
            Stopped: a stop signal; the ranks have exited.
        """
        become_subreaper()
        restarts = int(os.environ.get("TORCHELASTIC_RESTART_COUNT", "0"))
        last = restarts + self.config.max_restarts
        while True:
            outcome = self._run_once(restarts)
            if outcome.exit_code != EXIT_FAULT or restarts == last:
                return outcome.exit_code
            restarts += 1
            print(f"restart {restarts} of {self.config.max_restarts}", flush=True)

    def _run_once(self, restarts: int) -> Outcome:
        """Start the ranks; returns when all have exited."""
        part = self.part
        store = self._serve_store(restarts)
        folder = make_temporary_folder()
        try:
            every = create_status_file(folder, part.local_size)
            local_ranks = range(part.first_local_rank, part.first_local_rank + part.count)
            shared = {
                **_rank_environment(part),
                FOLDER_VARIABLE: str(folder),
                RUN_VARIABLE: self.run_name,
                RESTARTS_VARIABLE: str(restarts),
            }
            processes = RankProcesses(
                self.command,
                [
                    {**shared, "RANK": str(part.first_rank + index), "LOCAL_RANK": str(local_rank)}
                    for index, local_rank in enumerate(local_ranks)
                ],
            )
            statuses = [every[local_rank] for local_rank in local_ranks]
            return self._supervise(processes, statuses, restarts, store)
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def _serve_store(self, restarts: int) -> RunStore | None:
        """The store at which the ranks of several parts meet, if this part serves it."""
        if self.part.is_whole:
            return None
        os.environ.setdefault("TORCH_CPP_LOG_LEVEL", "ERROR")  # it warns of hosts without a name
        if self.part.first_rank > 0 or os.environ.get(AGENT_STORE) == "True":
            return None
        from cloudmask.distributed.run_store import RunStore

        return RunStore(self.part, restarts)

    def _supervise(
        self,
        processes: RankProcesses,
        statuses: Sequence[RankStatus],
        restarts: int,
        store: RunStore | None,
    ) -> Outcome:
        part, timeout = self.part, float(self.config.fault_timeout)
        monitor = Monitor(processes, statuses, part.first_rank, timeout, part.is_whole)
        outcome, stopped = Outcome(EXIT_FAULT, "the supervisor failed"), None
        try:
            try:
                outcome = monitor.wait()
            except Stopped as stop:  # perhaps because a launcher ends all after the first failure
                stopped = stop
                processes.stop(stop.number, STOP_TIMEOUT)
                failed = any(x.failed_at and not x.is_consequence for x in statuses)
                codes = processes.exit_codes()
                outcome = monitor.first_failure(codes) if failed else Outcome(EXIT_OK, str(stop))
            if not part.is_whole and outcome.reason:
                store = store or _open_store(part, restarts)
                outcome = _share(outcome, part, store, stopped)
            elif stopped is None or outcome.exit_code != EXIT_OK:
                _print_failure(outcome)
        finally:
            if not part.is_whole:  # it is not restarted, and its launcher may send signals now
                ignore_stop_signals()
            processes.suspend()  # so that no rank writes to the log any more
            if outcome.reason:
                self._complete_log(statuses, outcome.reason)
            processes.kill()
            if store is not None:
                store.leave()
        if stopped is not None and outcome.exit_code == EXIT_OK:
            raise stopped
        return outcome

    def _complete_log(self, statuses: Sequence[RankStatus], reason: str) -> None:
        """Add the fault to the log, if a rank of this supervisor wrote it."""
        for path in [Path(status.text("log")) for status in statuses if status.text("log")]:
            try:
                log_fault(path, reason)
            except (OSError, InputError) as error:
                print(f"log {path} could not be completed: {error}", file=sys.stderr)
            # No checkpoint of this run is being written any more.
            number = path.stem.removeprefix("result_")
            for partial in self.config.checkpoints.glob(
                f"checkpoint_{number}_{self.run_name[:8]}_*{PARTIAL}"
            ):
                partial.unlink(missing_ok=True)


def _open_store(part: Part, restarts: int) -> RunStore | None:
    """The store of the run, served by another process; None if it cannot be reached any more."""
    from torch.distributed import DistError

    from cloudmask.distributed.run_store import RunStore

    with suppress(DistError, OSError):
        return RunStore(part, restarts, REACH_TIMEOUT)
    return None


def _share(
    outcome: Outcome, part: Part, store: RunStore | None, stopped: Stopped | None
) -> Outcome:
    """Tell the other parts of a failure, or learn which one was first; prints it on one part only.

    After a stop signal, nothing is told: the signal may be the launcher's answer to a failure.
    """
    told = None
    if store is not None:
        if stopped is None or outcome.exit_code != EXIT_OK:
            told = store.share_failure(outcome.exit_code, outcome.reason, outcome.is_consequence)
        else:
            told = store.failure()
    if told is not None and told.first_rank != part.first_rank:
        return replace(outcome, exit_code=told.exit_code, reason=told.reason, traceback="")
    # Without the store, the part of rank 0 is gone, and has said why.
    if outcome.exit_code != EXIT_OK and (store is not None or part.first_local_rank == 0):
        _print_failure(outcome)
    return outcome


def _print_failure(outcome: Outcome) -> None:
    if outcome.traceback and not outcome.is_consequence:
        print(outcome.traceback, file=sys.stderr, end="")
    if outcome.reason:
        print(f"cloudmask train: error: {outcome.reason}", file=sys.stderr, flush=True)


def _rank_environment(part: Part) -> Mapping[str, str]:
    """The environment of every rank of this supervisor, except for its rank."""
    size, cores = part.local_size, usable_cores()
    world = {"WORLD_SIZE": str(part.size), "LOCAL_WORLD_SIZE": str(size)}
    # A GPU that fails is reported by the rank; NCCL's watchdog would abort the process before.
    quiet = {"TORCH_CPP_LOG_LEVEL": "ERROR", "TORCH_NCCL_RETHROW_CUDA_ERRORS": "0"}
    variables = {**quiet, **os.environ, **world}
    # For what else than torch has threads; torch's are limited by the rank itself.
    if part.size > 1:
        variables.setdefault("OMP_NUM_THREADS", str(max(1, cores // size)))
    if part.is_whole:  # the process group uses a file in the supervisor's folder
        variables.pop("MASTER_ADDR", None)
    else:
        variables |= {"MASTER_ADDR": part.address, "MASTER_PORT": str(part.port)}
        if interface := interface_towards(part.address, part.port):
            # gloo takes the host name's address, which often is the loopback's.
            variables.setdefault("GLOO_SOCKET_IFNAME", interface)
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
