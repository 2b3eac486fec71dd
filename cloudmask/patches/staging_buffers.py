"""Shared memory that staging's workers write patches into: host stores, and buffers for devices."""

from __future__ import annotations

import errno
import mmap
import os
import shutil
import tempfile
from collections import deque
from contextlib import suppress
from pathlib import Path

import torch
from torch import Tensor

from cloudmask.errors import InputError
from cloudmask.machine.system.cgroups import available_memory
from cloudmask.machine.system.file_system import IN_MEMORY, file_system_type
from cloudmask.patches.geometry import patches_per_scene
from cloudmask.patches.store import PatchStore, StorePlan

MADV_POPULATE_WRITE = 23  # <linux/mman.h>; Linux 5.14 and later


class StagingBuffer:
    """Memory for patches that forked workers share: anonymous, or mapped from a file on scratch.

    Attributes:
        patch_size: side of a patch in pixels.
        bytes: the memory, uint8.
        patches: the patches in it.

    Raises:
        InputError: the file on scratch cannot be made.
    """

    def __init__(self, plan: StorePlan, patches: int, scratch: Path | None) -> None:
        self.patch_size = plan.patch_size
        size = max(1, plan.nbytes_for(patches))
        self._anonymous = scratch is None
        # MAP_POPULATE allocates the pages now, before the clock, not when workers touch them.
        flags = mmap.MAP_SHARED | mmap.MAP_ANONYMOUS | mmap.MAP_POPULATE
        self._memory = (
            mmap.mmap(-1, size, flags) if scratch is None else _mapped_file(scratch, size)
        )
        self.bytes = torch.frombuffer(self._memory, dtype=torch.uint8)
        self.patches = plan.view_store(self.bytes, patches)

    def prefault(self) -> None:
        """Map the pages of anonymous memory into this process, where the kernel supports it.

        Page faults at first touch took a quarter of the time of staging.
        """
        if self._anonymous:
            with suppress(OSError):
                self._memory.madvise(MADV_POPULATE_WRITE)


class StagingRing:
    """Ring of host buffers, one scene per slot, between the workers and a device.

    A slot is named by the index of its first patch in `buffer`.

    Attributes:
        buffer: the memory of all slots.
        pinned: whether it is page-locked: if the device is a GPU and the system allows it.
    """

    def __init__(self, plan: StorePlan, slots: int, device: torch.device) -> None:
        per_scene = patches_per_scene(plan.patch_size)
        self.buffer = StagingBuffer(plan, slots * per_scene, None)
        self._device = device
        # Free slots, each with an event after the last copy from it.
        self._free: deque[tuple[int, torch.cuda.Event | None]] = deque(
            (slot * per_scene, None) for slot in range(slots)
        )
        self.pinned = device.type == "cuda" and _pin(self.buffer.bytes)

    def acquire(self) -> int | None:
        """Take the slot that has been free for longest, or return None if no slot is free."""
        if not self._free:
            return None
        slot, copied = self._free.popleft()
        if copied is not None:
            copied.synchronize()
        return slot

    def upload(self, slot: int, target: PatchStore) -> None:
        """Copy a slot's patches to `target` on the device, asynchronously, and free the slot."""
        source = self.buffer.patches.narrow(slot, len(target))
        for to, tensor in zip(target.tensors, source.tensors, strict=True):
            to.copy_(tensor, non_blocking=True)
        self._free.append((slot, _event_after_copies(self._device)))

    def unpin(self) -> None:
        """Unpin the memory; all copies must have been completed."""
        if self.pinned:
            torch.cuda.cudart().cudaHostUnregister(self.buffer.bytes.data_ptr())


def _pin(memory: Tensor) -> bool:
    """Page-lock the memory for asynchronous copies; False where the system does not allow it."""
    registered = torch.cuda.cudart().cudaHostRegister(memory.data_ptr(), memory.numel(), 0)
    if int(registered) == 0:
        return True
    # The runtime keeps the error; torch's next check would raise it for an innocent kernel. This
    # check reports and clears it.
    with suppress(RuntimeError):
        torch.zeros(1, device="cuda")
    return False


def _event_after_copies(device: torch.device) -> torch.cuda.Event | None:
    if device.type != "cuda":  # copies within host memory are synchronous
        return None
    event = torch.cuda.Event()
    event.record()
    return event


def _mapped_file(scratch: Path, size: int) -> mmap.mmap:
    """Map an unnamed file of this size, which is removed when the process ends."""
    kind = file_system_type(scratch)
    in_memory = kind in IN_MEMORY
    try:
        free = _free_bytes(scratch, in_memory)
        if size <= free:
            with tempfile.TemporaryFile(dir=scratch) as file:
                file.truncate(size)
                _reserve(file.fileno(), size)
                return mmap.mmap(file.fileno(), size)
    except OSError as error:
        if error.errno != errno.ENOSPC:
            raise InputError(
                f"scratch {scratch} cannot be written ({error.strerror}): "
                "give another folder with --scratch"
            ) from error
        free = _free_bytes(scratch, in_memory)  # other ranks have taken some
    raise InputError(
        f"scratch {scratch}{f' ({kind}: memory, no disk)' if in_memory else ''} has {free} bytes "
        f"free, the patches of each rank need {size}: give another folder with --scratch"
    )


def _free_bytes(scratch: Path, in_memory: bool) -> int:
    free = shutil.disk_usage(scratch).free
    return min(free, available_memory()) if in_memory else free


def _reserve(descriptor: int, size: int) -> None:
    """Allocate the blocks of a file: a page without one is a SIGBUS for the process it fails."""
    try:
        os.posix_fallocate(descriptor, 0, size)
    except OSError as error:
        # File systems that reserve nothing, and C libraries that do not write zeros instead.
        if error.errno not in (errno.EOPNOTSUPP, errno.EINVAL):
            raise
