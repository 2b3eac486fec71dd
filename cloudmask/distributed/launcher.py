"""The ranks of a run that this process starts: all, those of a node, or the one of a launcher.

torchrun, and srun or mpirun with a task per rank, start one process per rank of the run; srun with
one task per node starts one per node. What they tell in environment variables is read here.
"""

from __future__ import annotations

import os
import socket
import time
import zlib
from collections.abc import Mapping
from dataclasses import dataclass

import psutil

from cloudmask.errors import InputError
from cloudmask.tables import counted

COUNTS = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE")
ADDRESS = ("MASTER_ADDR", "MASTER_PORT")
DEFAULT_PORT = 29400
CONNECT_INTERVAL = 0.1  # seconds
# Variables of the launchers that may show every task a GPU of its own.
LAUNCHED_TASKS = ("SLURM_STEP_NUM_TASKS", "OMPI_COMM_WORLD_SIZE")
# Set by a torchrun that serves the store of the ranks itself, and by our supervisor as well.
AGENT_STORE = "TORCHELASTIC_USE_AGENT_STORE"


@dataclass(frozen=True)
class Part:
    """`count` consecutive ranks of the `size` of a run, started and supervised by one process.

    A run in several parts meets at a TCP store, which is at `address` and `port`.
    """

    first_rank: int
    count: int
    size: int
    first_local_rank: int
    local_size: int
    address: str = ""
    port: int = 0

    @property
    def is_whole(self) -> bool:
        """Whether these are all ranks of the run."""
        return self.count == self.size


def find_part(nodes: int, processes: int, environment: Mapping[str, str] = os.environ) -> Part:
    """The ranks that this process starts in a run of so many nodes and processes per node.

    Where a launcher started it, `nodes` and `processes` of 1 leave the numbers to the launcher.

    Raises:
        InputError: the variables are incomplete, no numbers, or contradict each other or `nodes`
            and `processes`; or there are several nodes and no launcher.
    """
    part = started_rank(environment)
    if part is not None:
        if nodes * processes not in (1, part.size):
            raise InputError(_wrong_size(part.size, nodes, processes, environment))
        return part
    here = {name: environment[name] for name in environment if name.startswith("SLURM_")}
    tasks, tasks_nodes = (here.get(f"SLURM_STEP_NUM_{name}", "") for name in ("TASKS", "NODES"))
    if tasks == tasks_nodes and tasks.isdecimal() and int(tasks) > 1:
        if nodes * processes == 1:
            nodes = int(tasks)
        elif nodes != int(tasks):
            raise InputError(_wrong_size(int(tasks), nodes, processes, environment))
        node = int(here.get("SLURM_NODEID", "0"))
        address = environment.get("MASTER_ADDR") or _first_host(here["SLURM_STEP_NODELIST"])
        port = _number("MASTER_PORT", environment.get("MASTER_PORT", _slurm_port(here)), 65536)
    elif nodes > 1:
        missing = [name for name in ("MASTER_ADDR", "NODE_RANK") if not environment.get(name)]
        if missing:
            raise InputError(
                f"nodes is {nodes} but {' and '.join(missing)} not set: start with srun or "
                "torchrun, or set MASTER_ADDR to the first node and NODE_RANK to the number of "
                "each, from 0"
            )
        node = _number("NODE_RANK", environment["NODE_RANK"], nodes)
        address = environment["MASTER_ADDR"]
        port = _number("MASTER_PORT", environment.get("MASTER_PORT", str(DEFAULT_PORT)), 65536)
    else:
        return Part(0, processes, processes, 0, processes)
    return Part(node * processes, processes, nodes * processes, 0, processes, address, port)


def started_rank(environment: Mapping[str, str] = os.environ) -> Part | None:
    """The rank that a launcher made of this process; None if there is none, or one per node.

    Raises:
        InputError: the variables are incomplete, no numbers, or contradict each other.
    """
    variables = (
        {name: environment[name] for name in (*COUNTS, *ADDRESS) if name in environment}
        if any(name in environment for name in COUNTS)
        else _slurm_task(environment) or _mpi_process(environment)
    )
    if not variables:
        return None
    present = [name for name in COUNTS if name in environment]
    remedy = f"unset {' '.join(present)}, or start with torchrun, which sets all of them"
    if missing := [name for name in COUNTS + ADDRESS if name not in variables]:
        if not present:
            raise InputError(f"{' and '.join(missing)} not set: set MASTER_ADDR to the first node")
        raise InputError(f"{present[0]} is set but {' and '.join(missing)} not: {remedy}")
    for name in (*COUNTS, "MASTER_PORT"):
        text = variables[name]
        if not (text.isascii() and text.isdecimal() and len(text) < 10):
            raise InputError(f"{name} is {text or 'empty'}, which is no number: {remedy}")
    rank, size, local_rank, local_size = (int(variables[name]) for name in COUNTS)
    for name, bound in (("RANK", "WORLD_SIZE"), ("LOCAL_RANK", "LOCAL_WORLD_SIZE")):
        if int(variables[name]) >= int(variables[bound]):
            raise InputError(
                f"{name} is {variables[name]} but {bound} is {variables[bound]}: {remedy}"
            )
    if local_size > size:
        raise InputError(f"LOCAL_WORLD_SIZE is {local_size} but WORLD_SIZE is {size}: {remedy}")
    address, port = variables["MASTER_ADDR"], int(variables["MASTER_PORT"])
    return Part(rank, 1, size, local_rank, local_size, address, port)


def _slurm_task(environment: Mapping[str, str]) -> dict[str, str]:
    """The variables of a task of a Slurm step with more tasks than nodes; {} for other processes.

    A step with one task per node is one of supervisors, which start the ranks of their nodes.
    """
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
    return {
        **dict(zip(COUNTS, map(str, (rank, tasks, local_rank, local_size)), strict=True)),
        "MASTER_ADDR": environment.get("MASTER_ADDR", "localhost" if nodes == 1 else first_node),
        "MASTER_PORT": environment.get("MASTER_PORT", _slurm_port(environment)),
    }


def _mpi_process(environment: Mapping[str, str]) -> dict[str, str]:
    """The variables of one of several processes of Open MPI's mpirun; {} for other processes."""
    names = [f"OMPI_COMM_WORLD_{name}" for name in ("RANK", "SIZE", "LOCAL_RANK", "LOCAL_SIZE")]
    values = [environment.get(name, "") for name in names]
    if "" in values or values[1] == "1":
        return {}
    job = environment.get("PMIX_NAMESPACE", "")
    variables = dict(zip(COUNTS, values, strict=True))
    variables["MASTER_PORT"] = str(20000 + zlib.crc32(job.encode()) % 10000)
    if values[1] == values[3]:  # all on this node
        variables["MASTER_ADDR"] = "localhost"
    return variables | {name: environment[name] for name in ADDRESS if name in environment}


def _slurm_port(environment: Mapping[str, str]) -> str:
    """A port that jobs on the same node seldom share, and steps of a job never do."""
    number = sum(int(environment.get(f"SLURM_{name}_ID", "0")) for name in ("JOB", "STEP"))
    return str(20000 + number % 10000)


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


def _number(name: str, text: str, bound: int) -> int:
    if not text.isdecimal() or int(text) >= bound:
        raise InputError(f"{name} is {text}: it must be a number from 0 to {bound - 1}")
    return int(text)


def _wrong_size(size: int, nodes: int, processes: int, environment: Mapping[str, str]) -> str:
    planned = f"{counted(nodes, 'node')} x {counted(processes, 'process')} are {nodes * processes}"
    if environment.get("SLURM_STEP_NUM_TASKS") == str(size):
        return (
            f"srun started {counted(size, 'task')} but {planned}: start one task per process, or "
            "one per node (--ntasks-per-node=1)"
        )
    return (
        f"WORLD_SIZE is {size} but {planned}: unset RANK and WORLD_SIZE, or leave nodes and "
        "processes_per_node to the launcher"
    )


def is_reached(address: str, port: int, timeout: float) -> bool:
    """Whether something listens at the address within so many seconds.

    torch's store tries twice, and prints a traceback of C++ when it gives up.
    """
    deadline = time.monotonic() + timeout
    while True:
        try:
            left = max(CONNECT_INTERVAL, deadline - time.monotonic())
            with socket.create_connection((address, port), timeout=left):
                return True
        except OSError:
            if time.monotonic() > deadline:
                return False
            time.sleep(CONNECT_INTERVAL)


def interface_towards(address: str, port: int) -> str | None:
    """The network interface by which this machine reaches an address; None for its loopback.

    Nothing is sent: connecting a datagram socket chooses the address of this end.

    Raises:
        InputError: the address cannot be found.
    """
    try:
        found = socket.getaddrinfo(address, port, type=socket.SOCK_DGRAM)
    except OSError as error:
        raise InputError(
            f"MASTER_ADDR {address} has no address ({error.strerror}): correct it"
        ) from error
    family, kind, protocol, _, target = found[0]
    with socket.socket(family, kind, protocol) as probe:
        try:
            probe.connect(target)
        except OSError:  # no route: the ranks will say so
            return None
        own = probe.getsockname()[0]
    for name, entries in psutil.net_if_addrs().items():
        if name != "lo" and any(entry.address.partition("%")[0] == own for entry in entries):
            return str(name)
    return None
