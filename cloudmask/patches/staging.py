"""Staging: worker processes read the patches of one rank from the scenes, once, into memory.

Workers are started and memory is allocated before the clock; only `Staging.fill` is timed.
"""

from __future__ import annotations

import multiprocessing
import signal
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing import connection
from multiprocessing.process import BaseProcess
from multiprocessing.synchronize import Barrier
from pathlib import Path
from threading import Thread

import torch
from torch.multiprocessing import _prctl_pr_set_pdeathsig  # type: ignore[attr-defined]

from cloudmask.errors import InputError
from cloudmask.files import require_shared_memory
from cloudmask.patches.geometry import patches_per_scene, training_region
from cloudmask.patches.staging_buffers import StagingBuffer, StagingRing
from cloudmask.patches.store import PatchStore, Share, StorePlan
from cloudmask.scenes.hdf5_scene import read_bands
from cloudmask.scenes.slstr import COLUMNS

SLOTS_PER_WORKER = 2


@dataclass(frozen=True)
class SceneSlice:
    """Patches `first` to `stop - 1` of a scene, from index `position` on in the rank's store."""

    path: Path
    first: int
    stop: int
    position: int

    def __len__(self) -> int:
        return self.stop - self.first


def scene_slices(scenes: Sequence[Path], share: Share, patch_size: int) -> Iterator[SceneSlice]:
    """The slices of scenes that make up a share, in order."""
    per_scene = patches_per_scene(patch_size)
    position = 0
    while position < share.count:
        index, first = divmod(share.first + position, per_scene)
        stop = min(per_scene, first + share.count - position)
        yield SceneSlice(scenes[index], first, stop, position)
        position += stop - first


def read_slice(scene: SceneSlice, patch_size: int, patches: PatchStore) -> None:
    """Read the patches of a slice into `patches`, which is as long as the slice.

    Only the pixels of these patches are read, in bands that fit the core's cache: each band is
    normalised, rounded to the patches' type and copied into place before the next is read.
    """
    rows, columns = training_region(patch_size)
    across = COLUMNS // patch_size
    regions, targets = [], []
    for row in range(scene.first // across, (scene.stop - 1) // across + 1):
        first, stop = max(scene.first, row * across), min(scene.stop, (row + 1) * across)
        top, left = rows.start + row * patch_size, columns.start + first % across * patch_size
        width = (stop - first) * patch_size
        regions.append((slice(top, top + patch_size), slice(left, left + width)))
        targets.append(slice(first - scene.first, stop - scene.first))
    groups = {"refs": patches.refs, "bts": patches.bts, "label": patches.labels}
    for band in read_bands(scene.path, regions):
        # A row of the band runs through all patches of the region.
        target = groups[band.group][targets[band.region], band.rows].transpose(0, 1)
        target.copy_(torch.from_numpy(band.values).view(target.shape))


class Staging:
    """Fills one store per plan; workers and memory are ready before `fill` is called.

    Workers inherit the shared memory by forking, so no limit on /dev/shm applies. Device stores
    are filled through one ring of host buffers, one scene per slot.

    Args:
        plans: what each store holds.
        kind: 'device', 'host' or 'mapped'.
        device: where device stores are.
        workers: processes that read scenes.
        scratch: folder of the file of a mapped store.

    Attributes:
        slice_count: how often `fill` reports progress.
        pinning_refused: whether copies to a GPU are slow because the system locks no pages.

    Raises:
        InputError: `scratch` cannot hold a mapped store, no semaphore can be made, or a worker was
            killed.
    """

    def __init__(
        self,
        plans: Sequence[StorePlan],
        kind: str,
        device: torch.device,
        workers: int,
        scratch: Path,
    ) -> None:
        require_shared_memory()
        self.kind = kind
        self._slices = [
            list(scene_slices(plan.scenes, plan.share, plan.patch_size)) for plan in plans
        ]
        self.slice_count = sum(map(len, self._slices))
        self._ring: StagingRing | None = None
        self.pinning_refused = False
        if kind == "device":
            slots = min(SLOTS_PER_WORKER * workers, max(map(len, self._slices)))
            self._ring = StagingRing(plans[0], slots, device)
            self.pinning_refused = device.type == "cuda" and not self._ring.pinned
            buffers = [self._ring.buffer] * len(plans)
            self._stores = [plan.empty_store(device) for plan in plans]
        else:
            folder = scratch if kind == "mapped" else None
            buffers = [StagingBuffer(plan, plan.share.count, folder) for plan in plans]
            self._stores = [buffer.patches for buffer in buffers]
        others = set(multiprocessing.active_children())
        context = multiprocessing.get_context("fork")
        self._pool = ProcessPoolExecutor(
            workers,
            mp_context=context,
            initializer=_start_worker,
            initargs=(buffers, context.Barrier(workers)),
        )
        with _worker_loss_as_input_error():
            jobs = [self._pool.submit(_wait_for_all_workers) for _ in range(workers)]
            started = [x for x in multiprocessing.active_children() if x not in others]
            Thread(target=_end_all_with_one, args=(started, workers), daemon=True).start()
            for job in jobs:
                job.result()

    def __enter__(self) -> Staging:
        return self

    def __exit__(self, *error: object) -> None:
        self._pool.shutdown(cancel_futures=True)
        if self._ring is not None:
            self._ring.unpin()

    def fill(self, report: Callable[[int], object] = lambda slices: None) -> list[PatchStore]:
        """Read all slices of all plans, once; `report(1)` is called after each.

        Copies to a device may still be in progress: synchronise before stopping a clock.

        Raises:
            SceneError: a scene cannot be read.
            InputError: a worker was killed, most often because memory ran out.
        """
        with _worker_loss_as_input_error():
            for number in range(len(self._stores)):
                if self._ring is None:
                    self._fill_in_place(number, report)
                else:
                    self._fill_through(self._ring, number, report)
            self._pool.shutdown(wait=False)
        return self._stores

    def _fill_in_place(self, number: int, report: Callable[[int], object]) -> None:
        jobs = [
            self._pool.submit(_read_into_buffer, number, scene, scene.position)
            for scene in self._slices[number]
        ]
        for job in jobs:
            job.result()
            report(1)

    def _fill_through(
        self, ring: StagingRing, number: int, report: Callable[[int], object]
    ) -> None:
        running: dict[Future[None], tuple[SceneSlice, int]] = {}
        waiting = self._slices[number][::-1]
        while waiting or running:
            while waiting and (slot := ring.acquire()) is not None:
                scene = waiting.pop()
                job = self._pool.submit(_read_into_buffer, number, scene, slot)
                running[job] = (scene, slot)
            for job in wait(running, return_when=FIRST_COMPLETED).done:
                scene, slot = running.pop(job)
                job.result()
                ring.upload(slot, self._stores[number].narrow(scene.position, len(scene)))
                report(1)


@contextmanager
def _worker_loss_as_input_error() -> Iterator[None]:
    try:
        yield
    except BrokenProcessPool as error:
        raise InputError(
            "a process that reads scenes was killed, probably for want of memory: "
            "use fewer workers, or store mapped"
        ) from error


def _end_all_with_one(workers: Sequence[BaseProcess], count: int) -> None:
    """Kill all workers when one of them ends; at once if one of the `count` is gone already.

    They end by themselves only after the last job. If one is killed, the pool waits for the others,
    which ignore its SIGTERM, and holds the lock that `submit` needs meanwhile.
    """
    if len(workers) == count:
        connection.wait([worker.sentinel for worker in workers])
    for worker in workers:
        worker.kill()


# Set in each worker.
_buffers: Sequence[StagingBuffer] = ()
_all_workers: Barrier


def _start_worker(buffers: Sequence[StagingBuffer], all_workers: Barrier) -> None:
    # The rank handles stop signals, which may reach all processes, and then ends its workers.
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1):
        signal.signal(number, signal.SIG_IGN)
    # A rank that is killed takes its workers along.
    _prctl_pr_set_pdeathsig(signal.SIGKILL)
    global _buffers, _all_workers
    _buffers, _all_workers = buffers, all_workers
    torch.set_num_threads(1)
    for buffer in buffers:
        buffer.prefault()


def _wait_for_all_workers() -> None:
    # No worker can take two of these jobs, so all workers have been started once all are done.
    _all_workers.wait()


def _read_into_buffer(number: int, scene: SceneSlice, position: int) -> None:
    buffer = _buffers[number]
    read_slice(scene, buffer.patch_size, buffer.patches.narrow(position, len(scene)))
