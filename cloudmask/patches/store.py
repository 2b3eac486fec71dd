"""Patch stores: the patches of one rank in fast memory, their size and kind, and their batches.

The global patch list is the scenes in the split's order, each with its patches in row-major order.
Every rank holds an equal, contiguous share of it in device memory, in host memory, or in a file
mapped from node-local scratch. `staging` fills the stores.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from cloudmask.machine.system.cgroups import available_memory
from cloudmask.patches.geometry import patches_per_scene
from cloudmask.scenes.slstr import REFLECTANCES, TEMPERATURES

# Share of the free memory that a store may take; activations, or the system, need the rest.
DEVICE_MARGIN = 0.5
HOST_MARGIN = 0.7


@dataclass(frozen=True)
class Share:
    """A rank's part of the global patch list: patches `first` to `first + count - 1`."""

    first: int
    count: int


def usable_patches(scenes: int, patch_size: int, global_batch: int) -> int:
    """Number of patches in whole global batches; the remaining patches of the scenes are unused."""
    return scenes * patches_per_scene(patch_size) // global_batch * global_batch


def share_of(rank: int, world_size: int, patches: int) -> Share:
    """The share of a rank; `patches` is a multiple of the world size."""
    count = patches // world_size
    return Share(rank * count, count)


def even_batch_size(patches: int, limit: int) -> int:
    """The largest batch up to `limit` of which a whole number makes so many patches.

    A rank's share is a whole number of training batches, so these set the least size.
    """
    return next(size for size in range(min(limit, patches), 0, -1) if patches % size == 0)


class PatchStore:
    """A rank's patches.

    Reflectances and temperatures stay separate, as in the scenes: concatenating all patches would
    be a third of the work of staging, concatenating those of a batch is a few thousandths of a
    training step.

    Attributes:
        refs, bts: normalised reflectances (N, P, P, 6) and brightness temperatures (N, P, P, 3),
            float16 or float32.
        labels: (N, P, P) uint8.
    """

    def __init__(self, refs: Tensor, bts: Tensor, labels: Tensor) -> None:
        self.refs = refs
        self.bts = bts
        self.labels = labels

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def tensors(self) -> tuple[Tensor, Tensor, Tensor]:
        """`refs`, `bts` and `labels`."""
        return self.refs, self.bts, self.labels

    @property
    def device(self) -> torch.device:
        """The device of the patches."""
        return self.labels.device

    def narrow(self, first: int, count: int) -> PatchStore:
        """View of `count` patches from index `first` on."""
        return PatchStore(*(tensor[first : first + count] for tensor in self.tensors))

    def batch(self, indices: Tensor, device: torch.device) -> tuple[Tensor, Tensor]:
        """Images (n, 9, P, P) in channels-last layout and labels (n, 1, P, P), on `device`.

        The indices must be on the device of the store.
        """
        refs, bts, labels = (_selected(tensor, indices, device) for tensor in self.tensors)
        return torch.cat([refs, bts], dim=3).permute(0, 3, 1, 2), labels.unsqueeze(1)

    def even_batches(self, limit: int, device: torch.device) -> Iterator[tuple[Tensor, Tensor]]:
        """All patches in their order, in batches of `even_batch_size`."""
        order = torch.arange(len(self), device=self.device)
        for indices in order.split(even_batch_size(len(self), limit)):
            yield self.batch(indices, device)


def _selected(tensor: Tensor, indices: Tensor, device: torch.device) -> Tensor:
    """Entries of a tensor, on the device; the host does not wait for the copy."""
    if tensor.device == device or device.type != "cuda":
        return tensor.index_select(0, indices)
    # Only copies from pinned memory are asynchronous; torch keeps the memory until then.
    shape = (len(indices), *tensor.shape[1:])
    pinned = torch.empty(shape, dtype=tensor.dtype, pin_memory=True)
    return torch.index_select(tensor, 0, indices, out=pinned).to(device, non_blocking=True)


@dataclass(frozen=True)
class StorePlan:
    """What one store will hold: a share of the patches of some scenes, in the type `dtype`."""

    scenes: Sequence[Path]
    share: Share
    patch_size: int
    dtype: torch.dtype

    @property
    def nbytes(self) -> int:
        """Bytes of the whole share, with labels."""
        return self.nbytes_for(self.share.count)

    def nbytes_for(self, patches: int) -> int:
        """Bytes of this many patches, with labels."""
        return sum(math.prod(shape) * dtype.itemsize for shape, dtype in self._layouts(patches))

    def empty_store(self, device: torch.device) -> PatchStore:
        """An uninitialised store for the share, on a device."""
        layouts = self._layouts(self.share.count)
        return PatchStore(
            *(torch.empty(shape, dtype=dtype, device=device) for shape, dtype in layouts)
        )

    def view_store(self, memory: Tensor, patches: int) -> PatchStore:
        """View the first bytes of `memory` as patches: refs, then bts, then labels."""
        tensors, begin = [], 0
        for shape, dtype in self._layouts(patches):
            end = begin + math.prod(shape) * dtype.itemsize
            tensors.append(memory[begin:end].view(dtype).view(shape))
            begin = end
        return PatchStore(*tensors)

    def _layouts(self, patches: int) -> Iterator[tuple[tuple[int, ...], torch.dtype]]:
        pixels = (patches, self.patch_size, self.patch_size)
        yield (*pixels, REFLECTANCES), self.dtype
        yield (*pixels, TEMPERATURES), self.dtype
        yield pixels, torch.uint8


def choose_store(wanted: str, needed: int, device: torch.device, ranks_on_node: int) -> str:
    """The kind of store for `needed` bytes per rank: 'device', 'host' or 'mapped'.

    For 'auto' it is 'device' if they fit with a margin, else 'host', else 'mapped'; any other
    `wanted` is returned as it is. Memory of the CPU is always called host.
    """
    if wanted != "auto":
        return "host" if wanted == "device" and device.type == "cpu" else wanted
    if device.type == "cuda" and needed < DEVICE_MARGIN * torch.cuda.mem_get_info(device)[0]:
        return "device"
    return "host" if needed * ranks_on_node < HOST_MARGIN * available_memory() else "mapped"
