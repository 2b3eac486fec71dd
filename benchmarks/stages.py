"""Measurement of each stage: our version, the plain version, and the floor."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import h5py
import numpy as np
import torch

from benchmarks import plain
from cloudmask.config import Config
from cloudmask.distributed.process_group import World, barrier, gather
from cloudmask.inference.whole_scene import overlapped, predict_scene
from cloudmask.model.precision import Precision, choose_precision
from cloudmask.model.prediction import inference_copy
from cloudmask.patches.geometry import patches_per_scene, training_region
from cloudmask.patches.staging import Staging
from cloudmask.patches.store import PatchStore, Share, StorePlan, choose_store
from cloudmask.scenes.hdf5_scene import read_channels
from cloudmask.scenes.scene import normalise
from cloudmask.scenes.slstr import COLUMNS, REFLECTANCES, ROWS, TEMPERATURES
from cloudmask.training.trainer import Trainer
from cloudmask.training.warm_up import warm_up

# Floating-point operations of the reference network on a patch of 256 x 256.
FORWARD_FLOP, TRAINING_FLOP = 21.9e9, 65.7e9
STAGED_SCENES = 24


@dataclass(frozen=True)
class Amounts:
    """Work per measurement: enough to make the overhead of a call negligible on a device.

    Attributes:
        steps, plain_steps: batches of training and evaluation, ours and the plain version's.
        matrix, products: side of the matrices for the floor, and number of their products.
    """

    steps: int
    plain_steps: int
    matrix: int
    products: int


AMOUNTS = {"cpu": Amounts(4, 1, 2048, 1), "cuda": Amounts(64, 64, 8192, 50)}


@dataclass
class Rates:
    """Rates of one stage.

    Attributes:
        ours, plain: a rate for each repetition, in `unit`.
        floor: the rate that all cores and ranks of the machine could reach together.
    """

    stage: str
    unit: str
    floor: float
    ours: list[float] = field(default_factory=list)
    plain: list[float] = field(default_factory=list)

    def row(self) -> tuple[str, ...]:
        """Cells of the table: medians, and ratios, with their ranges."""
        ours, baseline = statistics.median(self.ours), statistics.median(self.plain)
        ratios = sorted(a / b for a, b in zip(self.ours, self.plain, strict=True))
        return (
            self.stage,
            self.unit,
            f"{ours:.2f} ({min(self.ours):.2f} to {max(self.ours):.2f})",
            f"{baseline:.2f}",
            f"{self.floor:.1f}",
            f"{statistics.median(ratios):.2f} ({ratios[0]:.2f} to {ratios[-1]:.2f})",
            f"{ours / self.floor:.2f}",
        )


class Bench:
    """Trainer, scenes and timing that the measurements of all stages share."""

    def __init__(
        self,
        config: Config,
        world: World,
        scenes: Sequence[Path],
        repetitions: int,
        staged_scenes: int = STAGED_SCENES,
    ) -> None:
        self.config = config
        self.world = world
        self.scenes = scenes
        self.repetitions = repetitions
        self.staged_scenes = staged_scenes
        self.precision: Precision = choose_precision(config.precision, world.device)
        self.trainer = Trainer(config, world, self.precision)
        warm_up(self.trainer)  # captures the CUDA graphs
        self.cores = world.cores
        self.amounts = AMOUNTS[world.device.type]
        self._matrix_rate = 0.0

    def rate(self, work: Callable[[], object], amount: float) -> float:
        """`amount`, summed over ranks, per second of `work`."""
        barrier(self.world)
        began = time.perf_counter()
        work()
        barrier(self.world)
        elapsed = time.perf_counter() - began
        return float(sum(gather(amount))) / elapsed

    def alternate(
        self,
        rates: Rates,
        ours: Callable[[], float],
        base: Callable[[], float],
        uncounted: int = 1,
    ) -> Rates:
        """Measure both alternately, after `uncounted` repetitions that are not counted."""
        for repetition in range(uncounted + self.repetitions):
            for measured, measure in ((rates.ours, ours), (rates.plain, base)):
                rate = measure()
                if repetition >= uncounted:
                    measured.append(rate)
        return rates

    def matrix_rate(self) -> float:
        """Operations per second of large matrix products in training's precision, all ranks."""
        if not self._matrix_rate:
            size, products = self.amounts.matrix, self.amounts.products
            a, b = (
                torch.randn(size, size, device=self.world.device, dtype=self.precision.dtype)
                for _ in range(2)
            )
            product = a @ b
            multiply = repeating(lambda: torch.mm(a, b, out=product), products)
            self._matrix_rate = max(self.rate(multiply, products * 2 * size**3) for _ in range(10))
        return self._matrix_rate


def repeating(work: Callable[[], object], times: int) -> Callable[[], None]:
    """A function that does the work `times` times."""

    def repeated_work() -> None:
        for _ in range(times):
            work()

    return repeated_work


def staging(bench: Bench) -> Rates:
    """Scenes in files to patches in memory; a few scenes, read repeatedly from the page cache."""
    per_scene = patches_per_scene()
    scenes = [bench.scenes[number % len(bench.scenes)] for number in range(bench.staged_scenes)]
    plan = StorePlan(
        scenes,
        Share(0, per_scene * len(scenes)),
        bench.config.patch_size,
        bench.precision.store_dtype,
    )
    kind = choose_store("auto", plan.nbytes, bench.world.device, bench.world.local_size)

    def ours() -> float:
        with Staging([plan], kind, bench.world.device, bench.cores, Path("/tmp")) as stage:
            return bench.rate(stage.fill, plan.share.count)

    def base() -> float:
        scene = bench.scenes[0]
        return bench.rate(lambda: plain.stage_scene(scene), per_scene)

    one_core = max(bench.rate(lambda: _read_raw(bench.scenes[0]), per_scene) for _ in range(10))
    return bench.alternate(Rates("staging", "patches/s", one_core * bench.cores), ours, base)


def _read_raw(path: Path) -> None:
    """Read the part of a scene that staging uses, with h5py alone."""
    with h5py.File(path, "r", locking=False) as file:
        for name in ("refs", "bts", "bayes"):
            data = file[name]
            rows, columns = training_region()
            shape = (rows.stop - rows.start, columns.stop - columns.start, data.shape[2])
            data.read_direct(np.empty(shape, data.dtype), (rows, columns))


def repeated(images: torch.Tensor, labels: torch.Tensor, times: int) -> PatchStore:
    """A store of a batch (N, C, P, P) with labels (N, 1, P, P), repeated `times` times."""
    pixels = images.permute(0, 2, 3, 1).repeat(times, 1, 1, 1)
    refs, bts = pixels.split((REFLECTANCES, TEMPERATURES), dim=-1)
    return PatchStore(refs.contiguous(), bts.contiguous(), labels[:, 0].repeat(times, 1, 1))


def training(bench: Bench) -> Rates:
    """Training with the default recipe on patches in memory."""
    config, trainer = bench.config, bench.trainer
    images, labels = trainer.random_batch(config.batch_size)
    store = repeated(images, labels, bench.amounts.steps)
    steps = bench.amounts.plain_steps
    step = repeating(plain.training_step(images, labels), steps)
    return bench.alternate(
        Rates("training", "patches/s", bench.matrix_rate() / TRAINING_FLOP),
        lambda: bench.rate(lambda: trainer.train_epoch(1, store, lambda _: None), len(store)),
        lambda: bench.rate(step, steps * config.batch_size),
    )


def evaluation(bench: Bench) -> Rates:
    """Evaluation on patches in memory."""
    trainer, batch_size = bench.trainer, bench.config.evaluation_batch_size
    images, labels = trainer.random_batch(batch_size)
    store = repeated(images, labels, bench.amounts.steps)
    network = plain.PlainUNet().to(bench.world.device).eval()
    inputs, steps = images.float().contiguous(), bench.amounts.plain_steps

    def base() -> None:
        with torch.no_grad():
            ((network(inputs) > 0) == (labels > 0)).float().mean().item()

    return bench.alternate(
        Rates("evaluation", "patches/s", bench.matrix_rate() / FORWARD_FLOP),
        lambda: bench.rate(lambda: trainer.evaluate(store), len(store)),
        lambda: bench.rate(repeating(base, steps), steps * batch_size),
    )


def inference(bench: Bench) -> Rates:
    """Scenes in files to probabilities, reading ahead while predicting."""
    device, batch_size = bench.world.device, bench.config.evaluation_batch_size
    network = inference_copy(bench.trainer.evaluation_model, bench.precision.dtype)
    baseline = plain.PlainUNet().to(device).eval()
    scenes = bench.scenes[:2]

    def ours() -> None:
        for _, done in overlapped(
            scenes,
            lambda path: normalise(read_channels(path)),
            lambda image: predict_scene(network, image, bench.precision, batch_size),
            lambda path, probability: probability,
        ):
            done.result()

    scene_flop = FORWARD_FLOP * ROWS * COLUMNS / 256**2
    return bench.alternate(
        Rates("inference", "scenes/s", bench.matrix_rate() / scene_flop),
        lambda: bench.rate(ours, len(scenes)),
        lambda: bench.rate(lambda: plain.predict_scene(baseline, scenes[0], batch_size, device), 1),
        uncounted=0,  # a scene takes so long that nothing is gained by a first one
    )


STAGES = (staging, training, evaluation, inference)
