"""The patches of one rank in fast memory: planned, staged once from the scenes, then only indexed.

The global patch list is the scenes in the split's order, each with its patches row-major. Every
rank holds an equal, contiguous share of it in one tensor: in device memory, in host memory, or in
a file mapped from node-local scratch. Scenes are read by worker processes, which are started
before the clock and wait.
"""

from __future__ import annotations

import mmap
import multiprocessing
import os
import shutil
import signal
import tempfile
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
import psutil
import torch
from numpy.typing import DTypeLike, NDArray
from torch import Tensor

from cloudmask.data.patches import cut_region, patches_per_scene, training_region
from cloudmask.data.scene import CHANNELS, COLUMNS, read_region
from cloudmask.errors import InputError

# Share of the free memory that a store may take: the rest is for activations, or the system.
DEVICE_MARGIN = 0.5
HOST_MARGIN = 0.7
SLOTS_PER_WORKER = 2
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


@dataclass(frozen=True)
class ScenePart:
    """Patches `first` to `stop - 1` of one scene, which go to `position` of the rank's tensor."""

    path: Path
    first: int
    stop: int
    position: int


def scene_parts(scenes: Sequence[Path], share: Share, patch_size: int) -> Iterator[ScenePart]:
    """The parts of scenes that make up a share, in order; other scenes are not even named."""
    per_scene = patches_per_scene(patch_size)
    position = 0
    while position < share.count:
        index, first = divmod(share.first + position, per_scene)
        stop = min(per_scene, first + share.count - position)
        yield ScenePart(scenes[index], first, stop, position)
        position += stop - first


def read_part(part: ScenePart, patch_size: int) -> tuple[NDArray[np.float32], NDArray[np.uint8]]:
    """The part's images (n, P, P, 9) and labels (n, P, P), reading only the rows it needs."""
    rows, columns = training_region(patch_size)
    across = COLUMNS // patch_size
    top, bottom = part.first // across, (part.stop - 1) // across + 1
    band = slice(rows.start + top * patch_size, rows.start + bottom * patch_size)
    image, label = read_region(part.path, (band, columns))
    kept = slice(part.first - top * across, part.stop - top * across)
    return cut_region(image, patch_size)[kept], cut_region(label, patch_size)[kept]


class PatchStore:
    """A rank's patches: `images` (N, P, P, 9) in 16 or 32 bit, `labels` (N, P, P) uint8."""

    def __init__(self, images: Tensor, labels: Tensor) -> None:
        self.images = images
        self.labels = labels

    def __len__(self) -> int:
        return self.images.shape[0]

    def batch(self, indices: Tensor, device: torch.device) -> tuple[Tensor, Tensor]:
        """Images (n, 9, P, P) in channels-last layout and labels (n, 1, P, P) on the device.

        The indices lie where the store lies (host or device).
        """
        images = self.images.index_select(0, indices).to(device, non_blocking=True)
        labels = self.labels.index_select(0, indices).to(device, non_blocking=True)
        return images.permute(0, 3, 1, 2), labels.unsqueeze(1)


@dataclass(frozen=True)
class StorePlan:
    """What one store will hold: which scenes, which share of their patches."""

    scenes: Sequence[Path]
    share: Share
    patch_size: int
    dtype: torch.dtype

    @property
    def bytes(self) -> int:
        """Memory of images and labels together."""
        pixel = CHANNELS * self.dtype.itemsize + 1
        return self.share.count * self.patch_size**2 * pixel


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


class Staging:
    """Fills one store for each plan; workers and memory are ready before `fill` is called.

    The memory is shared with the workers by forking, so that no limit on /dev/shm applies. For a
    device store it is a ring of slots, each one scene large, copied to the device as they fill.

    Raises:
        InputError: `scratch` cannot hold a mapped store.
    """

    def __init__(
        self,
        plans: Sequence[StorePlan],
        kind: str,
        device: torch.device,
        workers: int,
        scratch: Path,
    ) -> None:
        self.plans = plans
        self.kind = kind
        self.device = device
        slots = SLOTS_PER_WORKER * workers * patches_per_scene(plans[0].patch_size)
        self._landings = [
            _Landing(
                plan,
                slots if kind == "device" else plan.share.count,
                scratch if kind == "mapped" else None,
            )
            for plan in plans
        ]
        self._pool = ProcessPoolExecutor(
            workers,
            mp_context=multiprocessing.get_context("fork"),
            initializer=_start_worker,
            initargs=(self._landings,),
        )
        wait([self._pool.submit(os.getpid) for _ in range(workers)])

    @property
    def parts(self) -> int:
        """Parts of scenes that `fill` will read."""
        return sum(
            len(list(scene_parts(plan.scenes, plan.share, plan.patch_size))) for plan in self.plans
        )

    def __enter__(self) -> Staging:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._pool.shutdown(cancel_futures=True)

    def fill(self, report: Callable[[int], object] = lambda parts: None) -> list[PatchStore]:
        """Read every part of every plan, once; `report(1)` is called as each is in place.

        Raises:
            SceneError: a scene that could be opened before cannot be read.
            InputError: a worker was killed, most often for want of memory.
        """
        try:
            stores = [self._fill_one(number, report) for number in range(len(self.plans))]
            self._pool.shutdown()
            return stores
        except BrokenProcessPool as error:
            raise InputError(
                "a process that reads scenes was killed, probably for want of memory: "
                "use fewer workers, or store mapped"
            ) from error

    def _fill_one(self, number: int, report: Callable[[int], object]) -> PatchStore:
        plan, landing = self.plans[number], self._landings[number]
        parts = list(scene_parts(plan.scenes, plan.share, plan.patch_size))
        if self.kind != "device":
            jobs = [self._pool.submit(_read_into, number, part, part.position) for part in parts]
            for job in jobs:
                job.result()
                report(1)
            return PatchStore(torch.from_numpy(landing.images), torch.from_numpy(landing.labels))

        shape = (plan.share.count, plan.patch_size, plan.patch_size)
        images = torch.empty((*shape, CHANNELS), dtype=plan.dtype, device=self.device)
        labels = torch.empty(shape, dtype=torch.uint8, device=self.device)
        slot_size = patches_per_scene(plan.patch_size)
        free = list(range(0, len(landing.images), slot_size))
        flying: dict[Future[None], tuple[ScenePart, int]] = {}
        waiting = parts[::-1]
        while waiting or flying:
            while waiting and free:
                part, slot = waiting.pop(), free.pop()
                flying[self._pool.submit(_read_into, number, part, slot)] = (part, slot)
            for job in wait(flying, return_when=FIRST_COMPLETED).done:
                part, slot = flying.pop(job)
                job.result()
                count = part.stop - part.first
                target = slice(part.position, part.position + count)
                images[target].copy_(torch.from_numpy(landing.images[slot : slot + count]))
                labels[target].copy_(torch.from_numpy(landing.labels[slot : slot + count]))
                free.append(slot)
                report(1)
        return PatchStore(images, labels)


class _Landing:
    """Memory that the workers write into: anonymous and shared, or a file on scratch."""

    def __init__(self, plan: StorePlan, patches: int, scratch: Path | None) -> None:
        shape = (patches, plan.patch_size, plan.patch_size)
        dtype: DTypeLike = np.float16 if plan.dtype == torch.float16 else np.float32
        self.patch_size = plan.patch_size
        self.images: NDArray[np.float16 | np.float32]
        self.labels: NDArray[np.uint8]
        self.images = _shared_array((*shape, CHANNELS), dtype, scratch)
        self.labels = _shared_array(shape, np.uint8, scratch)


def _shared_array(shape: tuple[int, ...], dtype: DTypeLike, scratch: Path | None) -> NDArray[Any]:
    size = max(1, int(np.prod(shape)) * np.dtype(dtype).itemsize)
    memory = mmap.mmap(-1, size) if scratch is None else _mapped_file(scratch, size)
    return np.frombuffer(memory, dtype=dtype, count=int(np.prod(shape))).reshape(shape)


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


_landings: Sequence[_Landing] = ()


def _start_worker(landings: Sequence[_Landing]) -> None:
    # A stop signal to all processes is the rank's to obey: it ends its workers in good order.
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1):
        signal.signal(number, signal.SIG_IGN)
    global _landings
    _landings = landings


def _read_into(number: int, part: ScenePart, position: int) -> None:
    """In a worker: read a part and leave it at a position of a landing."""
    landing = _landings[number]
    images, labels = read_part(part, landing.patch_size)
    landing.images[position : position + len(images)] = images
    landing.labels[position : position + len(labels)] = labels
