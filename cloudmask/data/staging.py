"""Staging: the patches of one rank, read once from the scenes into place by worker processes.

Workers are started, and memory is made, before the clock; `Staging.fill` is what is timed.
"""

from __future__ import annotations

import math
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

import torch

from cloudmask.data.patches import patches_per_scene, training_region
from cloudmask.data.scene import COLUMNS, REFLECTANCES, TEMPERATURES, read_bands
from cloudmask.data.store import PatchStore, Share, StorePlan
from cloudmask.errors import InputError

SLOTS_PER_WORKER = 2
MADV_POPULATE_WRITE = 23  # <linux/mman.h>; Linux 5.14 and later


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


def read_part(part: ScenePart, patch_size: int, patches: PatchStore) -> None:
    """Read the part's patches into `patches`, which is as long as the part.

    Only the pixels of these patches are read, in bands that stay in the core's cache: each is
    normalised, rounded to the patches' type and put into place before the next is read.
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
    groups = {"refs": patches.refs, "bts": patches.bts, "label": patches.labels}
    for band in read_bands(part.path, regions):
        # The rows of a band lie side by side in the scene, and below each other in the patches.
        place = groups[band.group][targets[band.region], band.rows].transpose(0, 1)
        place.copy_(torch.from_numpy(band.values).view(place.shape))


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
            self._pool.shutdown(wait=False)
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
            return landing.patches

        store = PatchStore(
            *(
                part.new_empty((plan.share.count, *part.shape[1:]), device=self.device)
                for part in landing.patches.parts
            )
        )
        slot_size = patches_per_scene(plan.patch_size)
        free = list(range(0, len(landing.patches), slot_size))
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
                landed = landing.patches.at(slot, count)
                for target, source in zip(
                    store.at(part.position, count).parts, landed.parts, strict=True
                ):
                    target.copy_(source)
                free.append(slot)
                report(1)
        return store


class _Landing:
    """Memory that the workers write into: anonymous and shared, or a file on scratch.

    Attributes:
        patches: what lies in it.
    """

    def __init__(self, plan: StorePlan, patches: int, scratch: Path | None) -> None:
        shape = (patches, plan.patch_size, plan.patch_size)
        layouts = (
            ((*shape, REFLECTANCES), plan.dtype),
            ((*shape, TEMPERATURES), plan.dtype),
            (shape, torch.uint8),
        )
        sizes = [math.prod(part) * dtype.itemsize for part, dtype in layouts]
        total = max(1, sum(sizes))
        self.patch_size = plan.patch_size
        self._in_memory = scratch is None
        # Pages are made here, before the clock, rather than as the workers touch them.
        anonymous = mmap.MAP_SHARED | mmap.MAP_ANONYMOUS | mmap.MAP_POPULATE
        self._memory = (
            mmap.mmap(-1, total, anonymous) if scratch is None else _mapped_file(scratch, total)
        )
        everything = torch.frombuffer(self._memory, dtype=torch.uint8)[: sum(sizes)]
        self.patches = PatchStore(
            *(
                part.view(dtype).view(layout)
                for part, (layout, dtype) in zip(everything.split(sizes), layouts, strict=True)
            )
        )

    def map_in(self) -> None:
        """Enter the pages of memory into this process's page table, where the kernel can do it.

        Otherwise every first touch would be a fault: they took a quarter of the time of staging.
        """
        if self._in_memory:
            with suppress(OSError):
                self._memory.madvise(MADV_POPULATE_WRITE)


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
    for landing in landings:
        landing.map_in()


def _read_into(number: int, part: ScenePart, position: int) -> None:
    """In a worker: read a part and leave it at a position of a landing."""
    landing = _landings[number]
    read_part(part, landing.patch_size, landing.patches.at(position, part.stop - part.first))
