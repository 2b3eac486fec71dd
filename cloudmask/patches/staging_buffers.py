"""Memory that staging's workers write patches into: where they stay, or wait for their device."""

from __future__ import annotations

import mmap
import shutil
import tempfile
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import torch
from torch import Tensor

from cloudmask.errors import InputError
from cloudmask.patches.geometry import patches_per_scene
from cloudmask.patches.store import PatchStore, StorePlan

MADV_POPULATE_WRITE = 23  # <linux/mman.h>; Linux 5.14 and later


class StagingBuffer:
    """Memory that the workers write into: anonymous and shared, or a file on scratch.

    Attributes:
        patches: what lies in it.
    """

    def __init__(self, plan: StorePlan, patches: int, scratch: Path | None) -> None:
        self.patch_size = plan.patch_size
        size = max(1, plan.bytes_of(patches))
        self._in_memory = scratch is None
        # Pages are made here, before the clock, rather than as the workers touch them.
        anonymous = mmap.MAP_SHARED | mmap.MAP_ANONYMOUS | mmap.MAP_POPULATE
        self._memory = (
            mmap.mmap(-1, size, anonymous) if scratch is None else _mapped_file(scratch, size)
        )
        self.bytes = torch.frombuffer(self._memory, dtype=torch.uint8)
        self.patches = plan.store_in(self.bytes, patches)

    def prefault(self) -> None:
        """Enter the pages of memory into this process's page table, where the kernel can do it.

        Otherwise every first touch would be a fault: they took a quarter of the time of staging.
        """
        if self._in_memory:
            with suppress(OSError):
                self._memory.madvise(MADV_POPULATE_WRITE)


class StagingRing:
    """Slots of host memory, a scene each, on the way from the workers to a device.

    Attributes:
        landing: the memory of all slots.
    """

    def __init__(self, plan: StorePlan, slots: int, device: torch.device) -> None:
        per_scene = patches_per_scene(plan.patch_size)
        self.landing = StagingBuffer(plan, slots * per_scene, None)
        self._device = device
        # Free slots by their first patch, each with what waits until its last copy has left it.
        self._free: deque[tuple[int, Callable[[], object]]] = deque(
            (slot * per_scene, _nothing_to_wait_for) for slot in range(slots)
        )
        self._pinned = device.type == "cuda" and _pin(self.landing.bytes)

    def take(self) -> int | None:
        """A free slot, the longest free one first; None if there is none."""
        if not self._free:
            return None
        slot, wait_for_copy = self._free.popleft()
        wait_for_copy()
        return slot

    def send(self, slot: int, target: PatchStore) -> None:
        """Copy a slot's patches to the device, without waiting for it, and free the slot."""
        landed = self.landing.patches.at(slot, len(target))
        for there, here in zip(target.parts, landed.parts, strict=True):
            there.copy_(here, non_blocking=True)
        self._free.append((slot, _end_of_copies(self._device)))

    def let_go(self) -> None:
        """Unpin the memory; every copy must have arrived."""
        if self._pinned:
            torch.cuda.cudart().cudaHostUnregister(self.landing.bytes.data_ptr())


def _pin(memory: Tensor) -> bool:
    """Let GPUs copy from this memory by themselves; False where the system does not allow it."""
    registered = torch.cuda.cudart().cudaHostRegister(memory.data_ptr(), memory.numel(), 0)
    return int(registered) == 0


def _end_of_copies(device: torch.device) -> Callable[[], object]:
    """What waits until the copies handed out so far are done."""
    if device.type != "cuda":
        return _nothing_to_wait_for
    event = torch.cuda.Event()
    event.record()
    return event.synchronize


def _nothing_to_wait_for() -> None:
    """Copies between parts of the host's memory are done when they return."""


def _mapped_file(scratch: Path, size: int) -> mmap.mmap:
    """A file of this size mapped into memory, without a name: it goes with the process."""
    try:
        free = shutil.disk_usage(scratch).free
        if size > free:
            raise InputError(
                f"scratch {scratch} has {free} bytes free, the patches of this rank need {size}: "
                "give another folder with --scratch"
            )
        with tempfile.TemporaryFile(dir=scratch) as file:
            file.truncate(size)
            return mmap.mmap(file.fileno(), size)
    except OSError as error:
        raise InputError(
            f"scratch {scratch} cannot be written ({error.strerror}): "
            "give another folder with --scratch"
        ) from error
