"""Staging: the patches of one rank, read once from the scenes into place by worker processes.

Workers are started, and memory is made, before the clock; `Staging.fill` is what is timed.
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
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
import torch
from numpy.typing import DTypeLike, NDArray

from cloudmask.data.patches import patches_per_scene, training_region
from cloudmask.data.scene import CHANNELS, COLUMNS, interleave, read_bands
from cloudmask.data.store import PatchStore, Share, StorePlan
from cloudmask.errors import InputError

SLOTS_PER_WORKER = 2


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


def read_part(
    part: ScenePart,
    patch_size: int,
    images: NDArray[np.float16 | np.float32],
    labels: NDArray[np.uint8],
) -> None:
    """Read the part's patches into `images` (n, P, P, 9) and `labels` (n, P, P).

    Only the pixels of these patches are read, in bands that stay in the core's cache: each is
    normalised, rounded to the images' type and put into place before the next is read.
    """
    rows, columns = training_region(patch_size)
    across = COLUMNS // patch_size
    regions, targets = [], []
    for row in range(part.first // across, (part.stop - 1) // across + 1):
        first, stop = max(part.first, row * across), min(part.stop, (row + 1) * across)
        top, left = rows.start + row * patch_size, columns.start + first % across * patch_size
        width = (stop - first) * patch_size
        regions.append((slice(top, top + patch_size), slice(left, left + width)))
        targets.append(slice(first - part.first, stop - part.first))
    for band in read_bands(part.path, regions):
        # The rows of a band lie side by side in the scene, and below each other in the patches.
        place = images[targets[band.region], band.rows].swapaxes(0, 1)
        refs, bts = (
            _rounded(group, images.dtype).reshape(*place.shape[:3], -1)
            for group in (band.refs, band.bts)
        )
        interleave(refs, bts, out=place)
        place_of_labels = labels[targets[band.region], band.rows].swapaxes(0, 1)
        place_of_labels[...] = band.label.reshape(place_of_labels.shape)


def _rounded(values: NDArray[np.float32], dtype: np.dtype[Any]) -> NDArray[Any]:
    """The values in another type; torch's conversion to float16 is five times NumPy's speed."""
    if values.dtype == dtype:
        return values
    rounded: NDArray[Any] = torch.from_numpy(values).half().numpy()
    return rounded


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
    # Pages are made here, before the clock, rather than as the workers touch them.
    anonymous = mmap.MAP_SHARED | mmap.MAP_ANONYMOUS | mmap.MAP_POPULATE
    memory = mmap.mmap(-1, size, anonymous) if scratch is None else _mapped_file(scratch, size)
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
    torch.set_num_threads(1)


def _read_into(number: int, part: ScenePart, position: int) -> None:
    """In a worker: read a part and leave it at a position of a landing."""
    landing = _landings[number]
    place = slice(position, position + part.stop - part.first)
    read_part(part, landing.patch_size, landing.images[place], landing.labels[place])
