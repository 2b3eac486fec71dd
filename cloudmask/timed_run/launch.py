"""Start a run in this process: as one of its ranks, or as the supervisor of ranks."""

from __future__ import annotations

import os
import sys
import traceback
from collections.abc import Sequence
from typing import TYPE_CHECKING, NoReturn

from cloudmask.distributed.heartbeat import FOLDER_VARIABLE, Heartbeat
from cloudmask.distributed.launcher import find_part
from cloudmask.errors import EXIT_FAULT, EXIT_INPUT, InputError

if TYPE_CHECKING:  # every command imports this module: none should wait for yaml
    from cloudmask.config import Config


RUN_MODULE = "cloudmask.timed_run.run"  # only ranks import it
STORE_MODULE = "cloudmask.distributed.run_store"


def launch(config: Config, arguments: Sequence[str]) -> int:
    """Do a timed run; returns its exit code.

    A process that our supervisor started becomes a rank of the run. Any other process becomes a
    supervisor, which starts its ranks with `arguments`: the one that torchrun, srun or mpirun made
    of it, those of its node, or all (`cloudmask.distributed.launcher`).

    Raises:
        InputError: the variables of a launcher are incomplete or contradict `config`, or the ranks
            cannot meet.
    """
    if FOLDER_VARIABLE in os.environ:
        return _supervised_rank(config)
    # Imported by the process that needs it: the supervisor of a whole run starts without torch.
    from cloudmask.distributed.supervisor import Supervisor

    part = find_part(config.nodes, config.processes_per_node)
    return Supervisor(config, arguments, part).run()


def _supervised_rank(config: Config) -> int:
    """Run as a rank that leaves error messages to its supervisor, which knows all ranks' faults."""
    from cloudmask.distributed.process_group import describe_lost_rank
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
        text = traceback.format_exc()
        if lost := describe_lost_rank(error):
            heartbeat.fail(lost, EXIT_FAULT, text, is_consequence=True)
        else:
            heartbeat.fail(f"{type(error).__name__}: {error}", EXIT_FAULT, text)
        return EXIT_FAULT


def exit_process(code: int) -> NoReturn:
    """End this process with an exit code that nothing can change any more.

    A rank ends without interpreter shutdown: in torch 2.13, destroying the communication threads
    at exit aborted one process in 5 of 24 runs of two, after their work was done. So does a
    supervisor that met others, because signals of its launcher would end it meanwhile.
    """
    if ("RANK" in os.environ and RUN_MODULE in sys.modules) or STORE_MODULE in sys.modules:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
    sys.exit(code)
