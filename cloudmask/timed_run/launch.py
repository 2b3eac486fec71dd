"""Start a run: as one of its ranks, or as the supervisor of the ranks of this node."""

from __future__ import annotations

import os
import sys
import traceback
from collections.abc import Sequence
from typing import NoReturn

from cloudmask.config import Config
from cloudmask.distributed.heartbeat import FOLDER_VARIABLE, Heartbeat
from cloudmask.errors import EXIT_FAULT, EXIT_INPUT, InputError


def rank_in_environment() -> int:
    """The rank that the environment gives this process; 0 if it gives none."""
    return int(os.environ.get("RANK", 0))


def leave_process(code: int) -> NoReturn:
    """End this process with an exit code that nothing can change any more.

    A rank goes at once: in torch 2.13 the tear-down of its communication threads
    at exit aborted one of the processes in 5 of 24 runs of two, after their work was done.
    """
    if "RANK" in os.environ:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
    sys.exit(code)


def launch(config: Config, arguments: Sequence[str]) -> int:
    """Do a timed run on this node's processes; returns the exit code of the run.

    This process becomes the supervisor of `config.processes_per_node` of its own kind; on
    several nodes they meet first (`cloudmask.distributed.rendezvous`). A process that a supervisor
    or torchrun has started takes its place in the run.

    Raises:
        InputError: a node did not come; or, under torchrun, what `timed_run` raises.
    """
    if FOLDER_VARIABLE in os.environ:
        return _supervised(config)
    if "RANK" in os.environ:
        from cloudmask.timed_run.run import timed_run

        return timed_run(config, Heartbeat())
    from cloudmask.distributed.supervisor import Supervisor

    return Supervisor(config, arguments).run()


def _supervised(config: Config) -> int:
    """One rank, whose supervisor says what went wrong: it knows of the other ranks' failures."""
    from cloudmask.distributed.rank_processes import follow_supervisor

    follow_supervisor()
    pulse = Heartbeat()
    try:
        from cloudmask.timed_run.run import timed_run

        return timed_run(config, pulse)
    except InputError as error:
        pulse.fail(str(error), EXIT_INPUT)
        return EXIT_INPUT
    except OSError as error:  # a disk or the network: of no interest where in the program
        pulse.fail(str(error), EXIT_FAULT)
        return EXIT_FAULT
    except Exception as error:
        pulse.fail(f"{type(error).__name__}: {error}", EXIT_FAULT, traceback.format_exc())
        return EXIT_FAULT
