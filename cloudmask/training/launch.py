"""Start the processes of a run: none but this one, or torchrun's, with their exit codes kept."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Sequence
from typing import NoReturn

from cloudmask.config import Config

# torchrun forwards these to its processes; Slurm announces the end of the allotted time by SIGUSR1.
FORWARDED_SIGNALS = "SIGTERM,SIGINT,SIGHUP,SIGQUIT,SIGUSR1"


def rank_in_environment() -> int:
    """The rank that torchrun gave this process; 0 without torchrun."""
    return int(os.environ.get("RANK", 0))


def leave_process(code: int) -> NoReturn:
    """End this process with an exit code that nothing can change any more.

    One of several ranks goes at once: in torch 2.13 the tear-down of its communication threads
    at exit aborted one of the processes in 5 of 24 runs of two, after their work was done.
    """
    if "RANK" in os.environ:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
    sys.exit(code)


def launch(config: Config, arguments: Sequence[str]) -> int:
    """Do a timed run on this node's processes; returns the exit code of the run.

    A process started by torchrun takes its place in the run, and a world of one needs no other
    process. Else this process becomes torchrun for `config.processes_per_node` of its own kind;
    on several nodes they meet first (`cloudmask.training.rendezvous`).

    Raises:
        InputError: a node did not come.
    """
    if "RANK" in os.environ or config.world_size == 1:
        from cloudmask.training.timed_run import timed_run

        return timed_run(config)
    return _torchrun(config, arguments)


def _torchrun(config: Config, arguments: Sequence[str]) -> int:
    # Before torch is there: it warns of addresses without a name. Errors are raised anyway.
    os.environ.setdefault("TORCH_CPP_LOG_LEVEL", "ERROR")
    from torch.distributed.elastic.multiprocessing.api import SignalException
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
    from torch.distributed.run import parse_args, run

    from cloudmask.training.rendezvous import find_place, meet

    # torchrun reports every exit code but 0 as a crash; ours mean something and speak themselves.
    logging.getLogger("torch.distributed").setLevel(logging.CRITICAL)
    cores = len(os.sched_getaffinity(0))
    os.environ.setdefault("OMP_NUM_THREADS", str(max(1, cores // config.processes_per_node)))
    os.environ.setdefault("PET_SIGNALS_TO_HANDLE", FORWARDED_SIGNALS)
    options = [f"--nnodes={config.nodes}", f"--nproc-per-node={config.processes_per_node}"]
    if config.nodes == 1:
        options.append("--standalone")
    else:
        meeting = meet(find_place(config), config.rendezvous_timeout)
        place = meeting.place
        if meeting.interface:
            # gloo takes the host name's address, which often is the loopback's.
            os.environ.setdefault("GLOO_SOCKET_IFNAME", meeting.interface)
        options += [
            f"--node-rank={place.rank}",
            f"--master-addr={place.address}",
            f"--master-port={place.port}",
            f"--rdzv-conf=timeout={config.rendezvous_timeout}",
        ]
    try:
        run(parse_args([*options, "--module", "cloudmask", "train", *arguments]))
    except ChildFailedError as error:
        code: int = error.get_first_failure()[1].exitcode
        return code if code > 0 else 128 - code
    except SignalException as stop:
        return 128 + stop.sigval
    return 0
