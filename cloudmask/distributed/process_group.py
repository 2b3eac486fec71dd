"""Who takes part in the run: ranks, their devices, and the few words they exchange."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from torch._C._distributed_c10d import FileStore, HashStore, Store, TCPStore

from cloudmask.distributed.affinity import bind_to_gpu
from cloudmask.distributed.heartbeat import FOLDER_VARIABLE
from cloudmask.errors import InputError

RENDEZVOUS_TIMEOUT = timedelta(minutes=10)
STORE = "store"

T = TypeVar("T")


@dataclass(frozen=True)
class World:
    """This process's place among all processes of the run."""

    rank: int
    size: int
    local_rank: int
    local_size: int
    device: torch.device
    cores: int = 1

    @property
    def leads(self) -> bool:
        """Whether this is rank 0, the one that logs and speaks."""
        return self.rank == 0


def initialise_process_group() -> World:
    """Take the place that the environment names, or be a world of one; one device a rank.

    Raises:
        InputError: more processes on this node than it has GPUs, or a torch build without
            kernels for its GPU.
    """
    size = int(os.environ.get("WORLD_SIZE", 1))
    local_rank = int(os.environ.get("LOCAL_RANK", 0))
    local_size = int(os.environ.get("LOCAL_WORLD_SIZE", 1))
    device = _device(local_rank, local_size)
    # Two back ends: NCCL for the tensors on devices, gloo for words between hosts.
    backend = "cpu:gloo,cuda:nccl" if device.type == "cuda" else "gloo"
    rank = int(os.environ.get("RANK", 0))
    dist.init_process_group(
        backend, store=_store(size), rank=rank, world_size=size, timeout=RENDEZVOUS_TIMEOUT
    )
    return World(rank, size, local_rank, local_size, device, _cores(local_rank, local_size, device))


def _store(size: int) -> Store | None:
    """Where the ranks find each other; None where torchrun says it by its own variables."""
    if "RANK" not in os.environ:
        return HashStore()
    folder = os.environ.get(FOLDER_VARIABLE)
    if folder is None:
        return None
    if "MASTER_ADDR" not in os.environ:
        return FileStore(str(Path(folder) / STORE), size)
    address, port = os.environ["MASTER_ADDR"], int(os.environ["MASTER_PORT"])
    return TCPStore(address, port, timeout=RENDEZVOUS_TIMEOUT, wait_for_workers=False)


def destroy_process_group() -> None:
    """End the process group, if there is one."""
    if dist.is_initialized():
        dist.destroy_process_group()


def gather(value: T) -> list[T]:
    """Every rank's value, in the order of ranks, on every rank."""
    values: list[Any] = [None] * dist.get_world_size()
    dist.all_gather_object(values, value)
    return values


def broadcast(value: T | None) -> T | None:
    """Rank 0's value on every rank; what the others give is ignored."""
    values = [value]
    dist.broadcast_object_list(values, src=0)
    return values[0]


def on_rank_zero(world: World, action: Callable[[], T]) -> T | None:
    """Let rank 0 act; its bad input is everyone's, so that all ranks stop together.

    Returns the action's result on rank 0, None elsewhere.
    """
    result, problem = None, None
    if world.leads:
        try:
            result = action()
        except InputError as error:
            problem = str(error)
    problem = gather(problem)[0]
    if problem is not None:
        raise InputError(problem)
    return result


def all_reduce(counts: torch.Tensor) -> torch.Tensor:
    """The sum of a tensor over all ranks, in place."""
    dist.all_reduce(counts)
    return counts


def barrier(world: World) -> None:
    """Wait until every rank is here and its device has finished."""
    if world.device.type == "cuda":
        torch.cuda.synchronize(world.device)
    gather(None)


def _device(local_rank: int, local_size: int) -> torch.device:
    if not torch.cuda.is_available():
        return torch.device("cpu")
    devices = torch.cuda.device_count()
    if local_size > devices:
        raise InputError(
            f"{local_size} processes on this node but {devices} GPUs: use one process per GPU"
        )
    require_kernels(
        torch.cuda.get_device_name(local_rank),
        torch.cuda.get_device_capability(local_rank),
        torch.cuda.get_arch_list(),
    )
    torch.cuda.set_device(local_rank)
    return torch.device("cuda", local_rank)


def _cores(local_rank: int, local_size: int, device: torch.device) -> int:
    """How many cores this rank has, after binding it to those near its GPU if that matters."""
    if device.type == "cuda" and bind_to_gpu(
        [pci_address(gpu) for gpu in range(local_size)], local_rank
    ):
        return len(os.sched_getaffinity(0))
    return max(1, len(os.sched_getaffinity(0)) // local_size)


def pci_address(gpu: int) -> str:
    """As the kernel writes it; '' from a torch that does not know it."""
    properties: Any = torch.cuda.get_device_properties(gpu)
    if not hasattr(properties, "pci_bus_id"):
        return ""
    domain, bus = properties.pci_domain_id, properties.pci_bus_id
    return f"{domain:04x}:{bus:02x}:{properties.pci_device_id:02x}.0"


def require_kernels(name: str, capability: tuple[int, int], kernels: Sequence[str]) -> None:
    """Refuse a device of this compute capability if none of a build's kernels runs on it.

    Kernels are named as `torch.cuda.get_arch_list` does: sm_70, compute_90.

    Raises:
        InputError: says which kernels there are, and which build has others.
    """
    major, minor = capability
    if not any(_runs_on(kernel, major, minor) for kernel in kernels):
        raise InputError(
            f"{name} has compute capability {major}.{minor} but "
            f"this torch {torch.__version__} has kernels for {', '.join(kernels) or 'none'} only: "
            "use a build with kernels for it (CUDA 12.6 or older for V100)"
        )


def _runs_on(kernel: str, major: int, minor: int) -> bool:
    """Whether code named like sm_86 runs on a device: same major version, no newer minor one.

    compute_90 names intermediate code, which is compiled for any newer device when it is loaded.
    """
    kind, _, version = kernel.partition("_")
    digits = "".join(character for character in version if character.isdigit())
    built_major, built_minor = int(digits[:-1]), int(digits[-1])
    if kind == "compute":
        return (built_major, built_minor) <= (major, minor)
    return built_major == major and built_minor <= minor
