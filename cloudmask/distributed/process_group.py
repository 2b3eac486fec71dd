"""The process group of a run: ranks, their devices, and collectives on Python objects."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from torch._C._distributed_c10d import (
    FileStore,
    HashStore,
    PrefixStore,
    Store,
    TCPStore,
)
from torch.distributed.distributed_c10d import _set_pg_timeout

from cloudmask.distributed.affinity import bind_to_gpu
from cloudmask.distributed.heartbeat import FOLDER_VARIABLE, RESTARTS_VARIABLE
from cloudmask.distributed.launcher import LAUNCHED_TASKS, is_reached
from cloudmask.errors import InputError
from cloudmask.machine.system.cgroups import core_quota, usable_cores
from cloudmask.machine.system.threads import limit_threads
from cloudmask.tables import counted

# One supervisor that watches all ranks ends a run before, and knows better which has stalled.
LONGEST_WAIT = 600.0  # seconds
STORE_FILE = "store"

T = TypeVar("T")


@dataclass(frozen=True)
class World:
    """The rank of this process among the processes of the run, its device and CPU cores.

    There are as many `nodes` as ranks with the local rank 0, and these number them by `node`.
    """

    rank: int
    size: int
    local_rank: int
    local_size: int
    device: torch.device
    cores: int = 1
    nodes: int = 1
    node: int = 0

    @property
    def is_rank_zero(self) -> bool:
        """Whether this is rank 0, which writes the log and the console."""
        return self.rank == 0


def initialise_process_group(kind: str = "auto", rendezvous_timeout: float = 120.0) -> World:
    """Join the process group that the supervisor described, or a group of one; one GPU per rank.

    Args:
        kind: auto, cpu or cuda, as in `choose_device`.
        rendezvous_timeout: seconds that the ranks of several supervisors wait for each other, to
            join and then in each collective, until `limit_waiting`.

    Raises:
        InputError: this node has no GPU or fewer than processes, torch has no kernels for them, or
            not all ranks joined.
    """
    names = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE")
    supervised = FOLDER_VARIABLE in os.environ
    rank, size, local_rank, local_size = (
        (int(os.environ[name]) for name in names) if supervised else (0, 1, 0, 1)
    )
    device = _device(kind, local_rank, local_size)
    store = _store(rank, size, rendezvous_timeout) if supervised else HashStore()
    # NCCL for tensors on devices, gloo for objects between hosts.
    backend = "cpu:gloo,cuda:nccl" if device.type == "cuda" else "gloo"
    limit = timedelta(seconds=rendezvous_timeout if _has_several_supervisors() else LONGEST_WAIT)
    dist.init_process_group(backend, store=store, rank=rank, world_size=size, timeout=limit)
    if device.type == "cuda" and has_own_gpu(local_size):
        gpus = gather((os.uname().nodename, pci_address(0)))
        if len(set(gpus)) < size:
            raise InputError(
                f"{counted(size, 'task')} but {counted(len(set(gpus)), 'GPU')}: start one task per "
                "GPU (srun --gpus-per-task=1)"
            )
    cores = _cores(local_rank, local_size, device)
    limit_threads(cores)
    firsts = gather(local_rank == 0)
    node = sum(firsts[: rank + 1]) - 1
    return World(rank, size, local_rank, local_size, device, cores, sum(firsts), node)


def _store(rank: int, size: int, timeout: float) -> Store:
    """The store of the process group: a file of the only supervisor, or one that all reach.

    Raises:
        InputError: not all ranks reached it within `timeout` seconds.
    """
    if "MASTER_ADDR" not in os.environ:
        return FileStore(str(Path(os.environ[FOLDER_VARIABLE]) / STORE_FILE), size)
    address, port = os.environ["MASTER_ADDR"], int(os.environ["MASTER_PORT"])
    limit = timedelta(seconds=timeout)
    remedy = "start the run on every node, or increase rendezvous_timeout"
    if not is_reached(address, port, timeout):
        raise InputError(
            f"rank {rank} did not reach rank 0 at {address}:{port} within {timeout:g} s: {remedy}"
        )
    server = TCPStore(address, port, timeout=limit, wait_for_workers=False)
    # torchrun's store outlives its restarts of the ranks.
    store = PrefixStore(f"ranks {os.environ[RESTARTS_VARIABLE]}", server)
    if store.add("joined", 1) == size:
        store.set("all joined", "")
    try:
        store.wait(["all joined"], limit)
    except dist.DistError as error:
        raise InputError(
            f"{store.add('joined', 0)} of {size} ranks joined within {timeout:g} s: {remedy}"
        ) from error
    return store


def limit_waiting(seconds: float) -> None:
    """Limit from now on how long a rank waits for those of other supervisors in a collective."""
    if _has_several_supervisors() and dist.get_world_size() > 1:
        _set_pg_timeout(timedelta(seconds=seconds))


def _has_several_supervisors() -> bool:
    return "MASTER_ADDR" in os.environ


def describe_lost_rank(error: Exception) -> str:
    """What an exception tells of another rank that was lost or did not answer; '' if nothing."""
    text = str(error).partition("\n")[0].rpartition("] ")[2] or str(error)
    if "Timed out waiting" in str(error):
        return f"another rank did not answer ({text})"
    lost = ("Connection closed by peer", "Connection reset by peer", "pair closure", "Broken pipe")
    if isinstance(error, dist.DistError) or any(words in str(error) for words in lost):
        return f"the connection to another rank was lost ({text})"
    return ""


def destroy_process_group() -> None:
    """Destroy the process group, if there is one."""
    if dist.is_initialized():
        dist.destroy_process_group()


def gather(value: T) -> list[T]:
    """All-gather a Python object: the values of all ranks in rank order, on every rank."""
    values: list[Any] = [None] * dist.get_world_size()
    dist.all_gather_object(values, value)
    return values


def broadcast(value: T | None) -> T | None:
    """Broadcast rank 0's Python object; the values of the other ranks are ignored."""
    values = [value]
    dist.broadcast_object_list(values, src=0)
    return values[0]


def on_rank_zero(world: World, action: Callable[[], T]) -> T | None:
    """Run an action on rank 0; its InputError is raised on every rank, so that all stop together.

    Returns the action's result on rank 0, None on the others.
    """
    result, problem = None, None
    if world.is_rank_zero:
        try:
            result = action()
        except InputError as error:
            problem = str(error)
    problem = gather(problem)[0]
    if problem is not None:
        raise InputError(problem)
    return result


def all_reduce(counts: torch.Tensor) -> torch.Tensor:
    """Sum a tensor over all ranks, in place."""
    dist.all_reduce(counts)
    return counts


def barrier(world: World) -> None:
    """Wait until all ranks have reached this call and their devices have finished."""
    if world.device.type == "cuda":
        torch.cuda.synchronize(world.device)
    gather(None)


def choose_device(kind: str) -> torch.device:
    """The device of a kind: auto is a GPU if torch sees any, else the CPU.

    Raises:
        InputError: `kind` is cuda and torch sees no GPU, with the reason.
    """
    if kind == "cpu" or (kind == "auto" and not torch.cuda.is_available()):
        return torch.device("cpu")
    if not torch.cuda.is_available():
        if torch.version.cuda is None:
            reason = (
                "it is built for CPUs; set TORCH_INDEX to the index of another build, such as "
                "https://download.pytorch.org/whl/cu126, and start again"
            )
        else:
            reason = "see nvidia-smi and CUDA_VISIBLE_DEVICES"
        raise InputError(
            f"device is cuda but torch {torch.__version__} sees no GPU on {os.uname().nodename}: "
            f"{reason}"
        )
    return torch.device("cuda")


def _device(kind: str, local_rank: int, local_size: int) -> torch.device:
    if choose_device(kind).type == "cpu":
        return torch.device("cpu")
    devices = torch.cuda.device_count()
    if has_own_gpu(local_size):
        local_rank = 0
    elif local_size > devices:
        raise InputError(
            f"{counted(local_size, 'process')} on this node but {counted(devices, 'GPU')}: "
            "use one process per GPU"
        )
    require_kernels(
        torch.cuda.get_device_name(local_rank),
        torch.cuda.get_device_capability(local_rank),
        torch.cuda.get_arch_list(),
    )
    torch.cuda.set_device(local_rank)
    return torch.device("cuda", local_rank)


def has_own_gpu(local_size: int) -> bool:
    """Whether each of several tasks of a node sees one GPU, as with `srun --gpus-per-task=1`."""
    return (
        local_size > 1
        and torch.cuda.device_count() == 1
        and any(name in os.environ for name in LAUNCHED_TASKS)
    )


def _cores(local_rank: int, local_size: int, device: torch.device) -> int:
    """The number of CPU cores of this rank, after binding it to those next to its GPU."""
    cores, quota = usable_cores(), core_quota()
    if (
        device.type == "cuda"
        and not has_own_gpu(local_size)
        and bind_to_gpu([pci_address(gpu) for gpu in range(local_size)], local_rank)
    ):
        near = len(os.sched_getaffinity(0))
        return near if quota is None else max(1, min(near, cores // local_size))
    return max(1, cores // local_size)


def pci_address(gpu: int) -> str:
    """The PCI address of a GPU as in sysfs, 0000:3b:00.0; '' if this torch does not report it."""
    properties: Any = torch.cuda.get_device_properties(gpu)
    if not hasattr(properties, "pci_bus_id"):
        return ""
    domain, bus = properties.pci_domain_id, properties.pci_bus_id
    return f"{domain:04x}:{bus:02x}:{properties.pci_device_id:02x}.0"


def require_kernels(name: str, capability: tuple[int, int], kernels: Sequence[str]) -> None:
    """Check that one of a build's kernels runs on a device of this compute capability.

    Args:
        kernels: named as by `torch.cuda.get_arch_list`: sm_70, compute_90.

    Raises:
        InputError: none does; names the kernels there are, and the build that has others.
    """
    major, minor = capability
    if not any(_runs_on(kernel, major, minor) for kernel in kernels):
        raise InputError(
            f"{name} has compute capability {major}.{minor} but "
            f"this torch {torch.__version__} has kernels for {', '.join(kernels) or 'none'} only: "
            "use a build with kernels for it (CUDA 12.6 or older for V100)"
        )


def _runs_on(kernel: str, major: int, minor: int) -> bool:
    """Whether binary code (sm_86: same major, no newer minor version) or PTX code runs on a device.

    PTX (compute_90) is compiled for any newer device when it is loaded.
    """
    kind, _, version = kernel.partition("_")
    built = divmod(int(version.rstrip("af")), 10)  # sm_90a: with features of this version alone
    return built <= (major, minor) and (kind == "compute" or built[0] == major)
