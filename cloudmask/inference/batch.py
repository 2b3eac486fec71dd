"""Many scenes to masks: in this process, or in worker processes that share the cores and GPUs."""

from __future__ import annotations

import multiprocessing
import signal
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, field
from multiprocessing.sharedctypes import Synchronized
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from cloudmask.inference.masker import Masker, NetworkOptions
from cloudmask.inference.whole_scene import overlapped
from cloudmask.machine.system.cgroups import usable_cores
from cloudmask.machine.system.threads import limit_threads
from cloudmask.scenes.baseline import View
from cloudmask.scenes.failures import SCENE_FAILURES, scene_failure
from cloudmask.scenes.mask_files import write_hdf5, write_netcdf
from cloudmask.scenes.readers import product_name, read_scene
from cloudmask.scenes.scene import NOT_COMPUTED, Scene

Predicted = tuple[Scene, NDArray[np.float32], float]


@dataclass(frozen=True)
class BatchOptions:
    """What is common to the masks of a batch.

    Attributes:
        hdf5: write the reference pipeline's layout instead of NetCDF.
        workers: processes; 0 for one on each GPU, or one without GPUs.
    """

    network: NetworkOptions
    hdf5: bool = False
    view: View = "nadir"
    workers: int = 0


@dataclass(frozen=True)
class Outcome:
    """What became of a scene.

    Attributes:
        failure: one sentence that names the scene, or ''; nothing else is set then.
        cloud: share of cloud among the pixels measured; None if none was.
        agreement: share of pixels on which each operational mask agrees, by its name.
        seconds: of reading, predicting and writing.
        located: whether the mask has positions.
    """

    failure: str = ""
    cloud: float | None = None
    agreement: Mapping[str, float] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    seconds: float = 0.0
    located: bool = True

    def __str__(self) -> str:
        if self.failure:
            return self.failure
        if self.cloud is None:
            return "no pixel was measured"
        agreements = "".join(f"   as {name} {share:.4f}" for name, share in self.agreement.items())
        return f"cloud {self.cloud:.4f}{agreements}" + "".join(f"   ({x})" for x in self.notes)


def make_masks(masks: Mapping[Path, Path], options: BatchOptions) -> Iterator[tuple[Path, Outcome]]:
    """Write the mask of each scene (scene to mask); the outcomes in their order.

    A worker process that is lost fails its scene and those after it.
    """
    workers = min(options.workers or max(torch.cuda.device_count(), 1), len(masks))
    if workers > 1:
        yield from _in_workers(masks, options, workers)
    elif masks:
        yield from _SceneMasker(options).all(masks)


class _SceneMasker:
    """Reads, predicts and writes scenes on one device."""

    def __init__(self, options: BatchOptions, device: torch.device | None = None) -> None:
        self.options = options
        self.masker = Masker(options.network, device)

    def all(self, masks: Mapping[Path, Path]) -> Iterator[tuple[Path, Outcome]]:
        """All scenes: the next is read, and the previous written, while one is predicted."""
        for path, outcome in overlapped(
            list(masks),
            self._read,
            self._predict,
            lambda path, predicted: self._write(path, masks[path], predicted),
        ):
            try:
                yield path, outcome.result()
            except SCENE_FAILURES as error:
                yield path, Outcome(scene_failure(path, error))

    def one(self, path: Path, mask: Path) -> Outcome:
        """One scene."""
        try:
            return self._write(path, mask, self._predict(self._read(path)))
        except SCENE_FAILURES as error:
            return Outcome(scene_failure(path, error))

    def _read(self, path: Path) -> tuple[Scene, float]:
        began = time.perf_counter()
        return read_scene(path, self.options.view), time.perf_counter() - began

    def _predict(self, read: tuple[Scene, float]) -> Predicted:
        began = time.perf_counter()
        scene, seconds = read
        probability = self.masker.predict(scene)
        return scene, probability, seconds + time.perf_counter() - began

    def _write(self, path: Path, mask: Path, predicted: Predicted) -> Outcome:
        began = time.perf_counter()
        scene, probability, seconds = predicted
        variables = self.masker.variables(scene, probability)
        oblique = f" --view {scene.view}" * (scene.view != "nadir")
        attributes = self.masker.provenance(
            product_name(path),
            f"infer --weights {self.options.network.weights} --scenes {path}{oblique}",
            view=scene.view,
            baseline=scene.baseline,
        ).attributes(scene.geolocation)
        cloud = variables["cloud_mask"].values
        if self.options.hdf5:
            write_hdf5(mask, cloud, attributes)
        else:
            write_netcdf(mask, variables, scene.geolocation, attributes)
        return _outcome(cloud, scene, seconds + time.perf_counter() - began)


def _outcome(cloud: NDArray[np.int8], scene: Scene, seconds: float) -> Outcome:
    present = cloud >= 0
    called = cloud[present]
    agreement = {}
    for name, other in {"bayes": scene.label, "summary": scene.summary}.items():
        if other is not None:
            computed = other[present] != NOT_COMPUTED
            if computed.any():
                agreement[name] = float((called == other[present])[computed].mean())
    share = float(called.mean()) if called.size else None
    return Outcome("", share, agreement, scene.notes, seconds, scene.geolocation is not None)


_in_this_worker: _SceneMasker | None = None


def _start_worker(options: BatchOptions, workers: int, number: Synchronized[int]) -> None:
    """Make this worker's network, on its GPU or with its share of the cores."""
    global _in_this_worker
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent process ends the batch
    with number.get_lock():
        mine, number.value = number.value, number.value + 1
    gpus = torch.cuda.device_count()
    device = torch.device("cuda", mine % gpus) if gpus else torch.device("cpu")
    limit_threads(usable_cores() // workers)
    _in_this_worker = _SceneMasker(options, device)


def _mask_in_worker(path: Path, mask: Path) -> Outcome:
    assert _in_this_worker is not None
    return _in_this_worker.one(path, mask)


def _in_workers(
    masks: Mapping[Path, Path], options: BatchOptions, workers: int
) -> Iterator[tuple[Path, Outcome]]:
    context = multiprocessing.get_context("spawn")  # CUDA does not survive a fork
    started = (options, workers, context.Value("i", 0))
    executor = ProcessPoolExecutor(workers, context, _start_worker, started)
    try:
        futures: dict[Path, Future[Outcome]] = {
            path: executor.submit(_mask_in_worker, path, mask) for path, mask in masks.items()
        }
        for path, future in futures.items():
            try:
                yield path, future.result()
            except BrokenProcessPool:
                lost = "a worker process was lost, perhaps for want of memory: use fewer --workers"
                yield path, Outcome(f"{path.name}: {lost}")
    finally:
        executor.shutdown(cancel_futures=True)
