"""The variables by which a launcher, such as torchrun or our supervisor, makes a process a rank."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass

from cloudmask.distributed.heartbeat import FOLDER_VARIABLE
from cloudmask.errors import InputError

COUNTS = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE")
ADDRESS = ("MASTER_ADDR", "MASTER_PORT")


@dataclass(frozen=True)
class Launch:
    """The place of this process among those that a launcher started."""

    rank: int
    size: int
    local_rank: int
    local_size: int


def read_launch(environment: Mapping[str, str] = os.environ) -> Launch | None:
    """The place of this process, or None if no launcher started it.

    Raises:
        InputError: the variables are incomplete, no numbers, or contradict each other.
    """
    present = [name for name in COUNTS if name in environment]
    if not present:
        return None
    # Ranks of our supervisor on a single node meet in a file.
    needed = COUNTS if FOLDER_VARIABLE in environment else COUNTS + ADDRESS
    remedy = f"unset {' '.join(present)}, or start with torchrun, which sets all of them"
    missing = [name for name in needed if name not in environment]
    if missing:
        raise InputError(f"{present[0]} is set but {' and '.join(missing)} not: {remedy}")
    numbers = [*COUNTS, *(["MASTER_PORT"] if "MASTER_PORT" in environment else [])]
    for name in numbers:
        text = environment[name]
        if not (text.isascii() and text.isdecimal() and len(text) < 10):
            raise InputError(f"{name} is {text or 'empty'}, which is no number: {remedy}")
    launch = Launch(*(int(environment[name]) for name in COUNTS))
    for name, bound in (("RANK", "WORLD_SIZE"), ("LOCAL_RANK", "LOCAL_WORLD_SIZE")):
        if int(environment[name]) >= int(environment[bound]):
            raise InputError(
                f"{name} is {environment[name]} but {bound} is {environment[bound]}: {remedy}"
            )
    if launch.local_size > launch.size:
        raise InputError(
            f"LOCAL_WORLD_SIZE is {launch.local_size} but WORLD_SIZE is {launch.size}: {remedy}"
        )
    return launch


def rank_variables(environment: Mapping[str, str] = os.environ) -> dict[str, str]:
    """The variables that make this task of a Slurm step a rank; {} for any other process.

    That is where `srun` starts more tasks than there are nodes. A step with one task per node is
    one of supervisors, which start the ranks of their nodes.
    """
    if any(name in environment for name in COUNTS):
        return {}
    try:
        tasks, nodes, rank, node, local_rank = (
            int(environment[f"SLURM_{name}"])
            for name in ("STEP_NUM_TASKS", "STEP_NUM_NODES", "PROCID", "NODEID", "LOCALID")
        )
        local_size = _tasks_by_node(environment["SLURM_STEP_TASKS_PER_NODE"])[node]
        first_node = _first_host(environment["SLURM_STEP_NODELIST"])
    except (KeyError, ValueError, IndexError):
        return {}
    if tasks <= nodes:
        return {}
    # As in run.sub, so that jobs that share a node seldom meet; steps of a job never do.
    number = sum(int(environment.get(f"SLURM_{name}_ID", "0")) for name in ("JOB", "STEP"))
    return {
        **dict(zip(COUNTS, map(str, (rank, tasks, local_rank, local_size)), strict=True)),
        "MASTER_ADDR": environment.get("MASTER_ADDR", "localhost" if nodes == 1 else first_node),
        "MASTER_PORT": environment.get("MASTER_PORT", str(20000 + number % 10000)),
    }


def _tasks_by_node(text: str) -> list[int]:
    """[2, 2, 1] for Slurm's '2(x2),1'."""
    counts: list[int] = []
    for item in text.split(","):
        count, _, repeats = item.rstrip(")").partition("(x")
        counts += [int(count)] * int(repeats or 1)
    return counts


def _first_host(text: str) -> str:
    """'dgx-07' for Slurm's 'dgx-[07-09,12],login'."""
    prefix, _, numbers = text.partition(",")[0].partition("[")
    return prefix + numbers.rstrip("]").partition("-")[0]


def is_first_rank() -> bool:
    """Whether this process speaks for the run: it is rank 0, or no rank."""
    try:
        launch = read_launch()
    except InputError:
        return True
    return launch is None or launch.rank == 0
