"""Start a run in this process: as one of its ranks, or as the supervisor of this node's ranks."""

from __future__ import annotations

import os
import sys
import traceback
from collections.abc import Sequence
from typing import TYPE_CHECKING, NoReturn

from cloudmask.distributed.heartbeat import FOLDER_VARIABLE, Heartbeat
from cloudmask.distributed.launcher import read_launch
from cloudmask.errors import EXIT_FAULT, EXIT_INPUT, InputError
from cloudmask.tables import counted

if TYPE_CHECKING:  # every command imports this module: none should wait for yaml
    from cloudmask.config import Config


RUN_MODULE = "cloudmask.timed_run.run"  # only ranks import it


def launch(config: Config, arguments: Sequence[str]) -> int:
    """Do a timed run; returns its exit code.

    A process that our supervisor or torchrun started becomes a rank of the run. Any other process
    becomes the supervisor of `config.processes_per_node` ranks, started with `arguments`; on
    several nodes, the supervisors connect first (`cloudmask.distributed.rendezvous`).

    Raises:
        InputError: a node did not join; the variables of a launcher are incomplete or contradict
            `config`; or, under torchrun, see `timed_run`.
    """
    if FOLDER_VARIABLE in os.environ:
        return _supervised_rank(config)
    # Imported by the process that needs it: a supervisor starts without torch.
    given = read_launch()
    if given is not None:
        if config.world_size not in (1, given.size):
            planned = (
                f"{counted(config.nodes, 'node')} x "
                f"{counted(config.processes_per_node, 'process')} are {config.world_size}"
            )
            if os.environ.get("SLURM_STEP_NUM_TASKS") == str(given.size):
                raise InputError(
                    f"srun started {given.size} tasks but {planned}: start one task per process, "
                    "or one per node (--ntasks-per-node=1)"
                )
            raise InputError(
                f"WORLD_SIZE is {given.size} but {planned}: unset "
                "RANK and WORLD_SIZE, or leave nodes and processes_per_node to the launcher"
            )
        from cloudmask.timed_run.run import timed_run

        return timed_run(config, Heartbeat())
    from cloudmask.distributed.supervisor import Supervisor

    return Supervisor(config, arguments).run()


def _supervised_rank(config: Config) -> int:
    """Run as a rank that leaves error messages to its supervisor, which knows all ranks' faults."""
    from cloudmask.distributed.rank_processes import stop_with_supervisor

    stop_with_supervisor()
    heartbeat = Heartbeat()
    try:
        from cloudmask.timed_run.run import timed_run

        return timed_run(config, heartbeat)
    except InputError as error:
        heartbeat.fail(str(error), EXIT_INPUT)
        return EXIT_INPUT
    except OSError as error:  # a disk or the network: a traceback would not help
        heartbeat.fail(str(error), EXIT_FAULT)
        return EXIT_FAULT
    except Exception as error:
        heartbeat.fail(f"{type(error).__name__}: {error}", EXIT_FAULT, traceback.format_exc())
        return EXIT_FAULT


def exit_process(code: int) -> NoReturn:
    """End this process with an exit code that nothing can change any more.

    A rank ends without interpreter shutdown: in torch 2.13, destroying the communication threads
    at exit aborted one process in 5 of 24 runs of two, after their work was done.
    """
    if "RANK" in os.environ and RUN_MODULE in sys.modules:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
    sys.exit(code)
