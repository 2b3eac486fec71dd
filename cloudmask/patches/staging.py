"""Staging: the patches of one rank, read once from the scenes into place by worker processes.

Workers are started, and memory is made, before the clock; `Staging.fill` is what is timed.
"""

from __future__ import annotations

import multiprocessing
import signal
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing.synchronize import Barrier
from pathlib import Path
from types import TracebackType

import torch

from cloudmask.errors import InputError
from cloudmask.patches.geometry import patches_per_scene, training_region
from cloudmask.patches.staging_buffers import StagingBuffer, StagingRing
from cloudmask.patches.store import PatchStore, Share, StorePlan
from cloudmask.scenes.scene import COLUMNS, read_bands

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

    The memory is shared with the workers by forking, so that no limit on /dev/shm applies. For
    device stores it is one ring of slots, each a scene large, copied to the device as they fill.

    Raises:
        InputError: `scratch` cannot hold a mapped store, or a worker was killed.
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
        self._parts = [
            list(scene_parts(plan.scenes, plan.share, plan.patch_size)) for plan in plans
        ]
        self._ring: StagingRing | None = None
        if kind == "device":
            slots = min(SLOTS_PER_WORKER * workers, max(map(len, self._parts)))
            self._ring = StagingRing(plans[0], slots, device)
            landings = [self._ring.landing] * len(plans)
            self._stores = [plan.empty_store(plan.share.count, device) for plan in plans]
        else:
            folder = scratch if kind == "mapped" else None
            landings = [StagingBuffer(plan, plan.share.count, folder) for plan in plans]
            self._stores = [landing.patches for landing in landings]
        context = multiprocessing.get_context("fork")
        self._pool = ProcessPoolExecutor(
            workers,
            mp_context=context,
            initializer=_start_worker,
            initargs=(landings, context.Barrier(workers)),
        )
        with _naming_lost_workers():
            for met in [self._pool.submit(_meet) for _ in range(workers)]:
                met.result()

    @property
    def parts(self) -> int:
        """Parts of scenes that `fill` will read."""
        return sum(map(len, self._parts))

    def __enter__(self) -> Staging:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._pool.shutdown(cancel_futures=True)
        if self._ring is not None:
            self._ring.let_go()

    def fill(self, report: Callable[[int], object] = lambda parts: None) -> list[PatchStore]:
        """Read every part of every plan, once; `report(1)` is called as each is in place.

        What goes to a device may still be on its way: wait for the device before stopping a clock.

        Raises:
            SceneError: a scene that could be opened before cannot be read.
            InputError: a worker was killed, most often for want of memory.
        """
        with _naming_lost_workers():
            for number in range(len(self.plans)):
                if self._ring is None:
                    self._fill_in_place(number, report)
                else:
                    self._fill_through(self._ring, number, report)
            self._pool.shutdown(wait=False)
        return self._stores

    def _fill_in_place(self, number: int, report: Callable[[int], object]) -> None:
        parts = self._parts[number]
        for job in [self._pool.submit(_read_into, number, part, part.position) for part in parts]:
            job.result()
            report(1)

    def _fill_through(
        self, ring: StagingRing, number: int, report: Callable[[int], object]
    ) -> None:
        flying: dict[Future[None], tuple[ScenePart, int]] = {}
        waiting = self._parts[number][::-1]
        while waiting or flying:
            while waiting and (slot := ring.take()) is not None:
                part = waiting.pop()
                flying[self._pool.submit(_read_into, number, part, slot)] = (part, slot)
            for job in wait(flying, return_when=FIRST_COMPLETED).done:
                part, slot = flying.pop(job)
                job.result()
                ring.send(slot, self._stores[number].at(part.position, part.stop - part.first))
                report(1)


@contextmanager
def _naming_lost_workers() -> Iterator[None]:
    try:
        yield
    except BrokenProcessPool as error:
        raise InputError(
            "a process that reads scenes was killed, probably for want of memory: "
            "use fewer workers, or store mapped"
        ) from error


_landings: Sequence[StagingBuffer] = ()
_everyone: Barrier


def _start_worker(landings: Sequence[StagingBuffer], everyone: Barrier) -> None:
    # A stop signal to all processes is the rank's to obey: it ends its workers in good order.
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1):
        signal.signal(number, signal.SIG_IGN)
    global _landings, _everyone
    _landings, _everyone = landings, everyone
    torch.set_num_threads(1)
    for landing in landings:
        landing.prefault()


def _meet() -> None:
    """In a worker: wait for the others, so that each takes one such job when it is ready."""
    _everyone.wait()


def _read_into(number: int, part: ScenePart, position: int) -> None:
    """In a worker: read a part and leave it at a position of a landing."""
    landing = _landings[number]
    read_part(part, landing.patch_size, landing.patches.at(position, part.stop - part.first))
