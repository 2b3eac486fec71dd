"""The patches of one rank in fast memory: how many there are, where they go, how batches are made.

The global patch list is the scenes in the split's order, each with its patches row-major. Every
rank holds an equal, contiguous share of it: in device memory, in host memory, or in a file mapped
from node-local scratch. `staging` fills it.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import psutil
import torch
from torch import Tensor

from cloudmask.patches.geometry import patches_per_scene
from cloudmask.scenes.scene import REFLECTANCES, TEMPERATURES

# Share of the free memory that a store may take: the rest is for activations, or the system.
DEVICE_MARGIN = 0.5
HOST_MARGIN = 0.7
CGROUP_LIMIT = Path("/sys/fs/cgroup/memory.max")
CGROUP_USED = Path("/sys/fs/cgroup/memory.current")


@dataclass(frozen=True)
class Share:
    """A rank's part of the global patch list: patches `first` to `first + count - 1`."""

    first: int
    count: int


def usable_patches(scenes: int, patch_size: int, global_batch: int) -> int:
    """Patches of so many scenes that fill whole global batches; the rest is left out."""
    return scenes * patches_per_scene(patch_size) // global_batch * global_batch


def share_of(rank: int, world_size: int, patches: int) -> Share:
    """The share of a rank; `patches` is a multiple of the world size."""
    count = patches // world_size
    return Share(rank * count, count)


class PatchStore:
    """A rank's patches.

    Groups of channels are kept apart, as in the scenes: putting them side by side is a third of
    the work of staging when every patch is done, and a few thousandths of a training step when only
    those of its batch are.

    Attributes:
        refs, bts: normalised reflectances (N, P, P, 6) and temperatures (N, P, P, 3), in 16 or
            32 bit.
        labels: (N, P, P) uint8.
    """

    def __init__(self, refs: Tensor, bts: Tensor, labels: Tensor) -> None:
        self.refs = refs
        self.bts = bts
        self.labels = labels

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def parts(self) -> tuple[Tensor, Tensor, Tensor]:
        """`refs`, `bts` and `labels`."""
        return self.refs, self.bts, self.labels

    def at(self, first: int, count: int) -> PatchStore:
        """So many patches from number `first` on, in the same memory."""
        return PatchStore(*(part[first : first + count] for part in self.parts))

    @property
    def device(self) -> torch.device:
        """Where the patches lie."""
        return self.labels.device

    def batch(self, indices: Tensor, device: torch.device) -> tuple[Tensor, Tensor]:
        """Images (n, 9, P, P) in channels-last layout and labels (n, 1, P, P) on the device.

        The indices lie where the store lies (host or device).
        """
        refs, bts, labels = (_selected(part, indices, device) for part in self.parts)
        return torch.cat([refs, bts], dim=3).permute(0, 3, 1, 2), labels.unsqueeze(1)


def _selected(part: Tensor, indices: Tensor, device: torch.device) -> Tensor:
    """Entries of a part, on the device; the host does not wait until they are there."""
    if part.device == device or device.type != "cuda":
        return part.index_select(0, indices)
    # A GPU fetches only from pinned memory by itself; torch keeps it until then.
    shape = (len(indices), *part.shape[1:])
    pinned = torch.empty(shape, dtype=part.dtype, pin_memory=True)
    return torch.index_select(part, 0, indices, out=pinned).to(device, non_blocking=True)


@dataclass(frozen=True)
class StorePlan:
    """What one store will hold: which scenes, which share of their patches."""

    scenes: Sequence[Path]
    share: Share
    patch_size: int
    dtype: torch.dtype

    @property
    def bytes(self) -> int:
        """Memory of the whole share."""
        return self.bytes_of(self.share.count)

    def bytes_of(self, patches: int) -> int:
        """Memory of so many patches, with their labels."""
        return sum(math.prod(shape) * dtype.itemsize for shape, dtype in self._layouts(patches))

    def empty_store(self, patches: int, device: torch.device) -> PatchStore:
        """Room for so many patches on a device."""
        return PatchStore(
            *(
                torch.empty(shape, dtype=dtype, device=device)
                for shape, dtype in self._layouts(patches)
            )
        )

    def store_in(self, memory: Tensor, patches: int) -> PatchStore:
        """So many patches in the first of these bytes: refs, then bts, then labels."""
        parts, begin = [], 0
        for shape, dtype in self._layouts(patches):
            end = begin + math.prod(shape) * dtype.itemsize
            parts.append(memory[begin:end].view(dtype).view(shape))
            begin = end
        return PatchStore(*parts)

    def _layouts(self, patches: int) -> Iterator[tuple[tuple[int, ...], torch.dtype]]:
        pixels = (patches, self.patch_size, self.patch_size)
        yield (*pixels, REFLECTANCES), self.dtype
        yield (*pixels, TEMPERATURES), self.dtype
        yield pixels, torch.uint8


def choose_store(wanted: str, needed: int, device: torch.device, ranks_on_node: int) -> str:
    """Where `needed` bytes go: 'device' if they fit with a margin, else 'host', else 'mapped'.

    `wanted` other than 'auto' is taken as it is. Memory of the CPU is always called host.
    """
    if wanted != "auto":
        return "host" if wanted == "device" and device.type == "cpu" else wanted
    if device.type == "cuda" and needed < DEVICE_MARGIN * torch.cuda.mem_get_info(device)[0]:
        return "device"
    return "host" if needed * ranks_on_node < HOST_MARGIN * _free_host_memory() else "mapped"


def _free_host_memory() -> int:
    """Bytes that may still be taken, by the machine's count and by the container's limit."""
    free = int(psutil.virtual_memory().available)
    with suppress(OSError, ValueError):  # where there is no such limit
        free = min(free, int(CGROUP_LIMIT.read_text()) - int(CGROUP_USED.read_text()))
    return free
