"""What training with holes gains at borders and holes of whole scenes, and what it costs.

    python -m benchmarks.holes SHARE [SHARE ...] --datadir DIR [--seeds 1 2 3] [--epochs N]

Trains with each `hole_share` and each seed in turn for N epochs, and prints one line of JSON: the
validation accuracy after each epoch, and the accuracy against the truth of the synthetic inference
scenes, over measured pixels: by distance to the nearest pixel that nothing measured, in squares of
40 x 40 pixels of which S7 was taken out (before and after), and around such squares of which all
was. Holes are the same for every training.
"""

from __future__ import annotations

import argparse
import json
import time
from collections import defaultdict
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import distance_transform_edt

from benchmarks.recipes import stage
from cloudmask.config import Config
from cloudmask.distributed.host_allocator import keep_freed_memory
from cloudmask.distributed.process_group import destroy_process_group, initialise_process_group
from cloudmask.inference.whole_scene import predict_scene
from cloudmask.model.precision import choose_precision
from cloudmask.model.prediction import inference_copy
from cloudmask.scenes.hdf5_scene import read_hdf5_scene, read_mask
from cloudmask.scenes.layout import list_scenes
from cloudmask.scenes.mask_variables import is_cloud
from cloudmask.scenes.scene import Mask, normalise
from cloudmask.training.trainer import Trainer
from cloudmask.training.warm_up import warm_up

HOLES, HOLE = 40, 40  # squares in a scene, and their side in pixels
MARGIN_KM = {"0-5 px": (0, 5), "5-15 px": (5, 15), "over 15 px": (15, np.inf)}
S7 = 6


class Counts:
    """Pixels and correct ones, by name."""

    def __init__(self) -> None:
        self._counts: dict[str, NDArray[np.int64]] = defaultdict(lambda: np.zeros(3, np.int64))

    def add(self, name: str, cloud: Mask, truth: Mask, pixels: Mask) -> None:
        """Count the pixels of one scene."""
        right, called = (cloud == truth)[pixels].sum(), cloud[pixels].sum()
        self._counts[name] += (pixels.sum(), right, called)

    def accuracies(self) -> dict[str, float]:
        """Share of correct pixels by name, and the share called cloud; without those of none."""
        shares = {}
        for name, (pixels, right, called) in self._counts.items():
            if not pixels:
                continue
            shares[name] = round(float(right / pixels), 4)
            shares[f"{name}, called cloud"] = round(float(called / pixels), 4)
        return shares


def squares(shape: tuple[int, int], seed: int) -> Mask:
    """Squares at random places, true inside."""
    rng = np.random.default_rng(seed)
    mask = np.zeros(shape, bool)
    for _ in range(HOLES):
        row, column = (int(rng.integers(60, length - HOLE - 60)) for length in shape)
        mask[row : row + HOLE, column : column + HOLE] = True
    return mask


def add_margins(counts: Counts, kind: str, cloud: Mask, truth: Mask, unseen: Mask) -> None:
    """Count the measured pixels by their distance to the nearest that was not."""
    distance = distance_transform_edt(~np.pad(unseen, 1, constant_values=True))[1:-1, 1:-1]
    for name, (least, most) in MARGIN_KM.items():
        counts.add(
            f"{kind} {name}", cloud, truth, ~unseen & (distance > least) & (distance <= most)
        )


def evaluate(trainer: Trainer, scenes: list[Path]) -> dict[str, float]:
    """Accuracies of the evaluation model over whole scenes."""
    network = inference_copy(trainer.evaluation_model, trainer.precision.dtype)
    counts = Counts()

    def clouds(channels: NDArray[np.float32]) -> Mask:
        image = normalise(channels.copy())
        return is_cloud(predict_scene(network, image, trainer.precision, batch_size=8))

    for number, path in enumerate(scenes):
        scene = read_hdf5_scene(path)
        truth = read_mask(path, "truth") > 0
        label, unseen = scene.label > 0, scene.not_measured
        whole = clouds(scene.channels)
        counts.add("whole frame, against the label", whole, label, np.ones_like(label))
        counts.add("not measured", whole, label, unseen)
        counts.add("measured", whole, truth, ~unseen)
        add_margins(counts, "borders", whole, truth, unseen)
        holes = squares(truth.shape, number)
        without_s7, without_all = scene.channels.copy(), scene.channels.copy()
        without_s7[holes, S7], without_all[holes] = 0, 0
        counts.add("squares", whole, truth, holes & ~unseen)
        counts.add("squares without S7", clouds(without_s7), truth, holes & ~unseen)
        add_margins(counts, "all-channel holes", clouds(without_all), truth, unseen | holes)
    return counts.accuracies()


def main() -> None:
    """Train with every share and seed in turn."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("shares", nargs="+", type=float, metavar="SHARE")
    parser.add_argument("--datadir", type=Path, required=True)
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3])
    parser.add_argument("--epochs", type=int, default=4)
    options = parser.parse_args()
    keep_freed_memory()
    world = initialise_process_group()
    try:
        training, validation = stage(Config(datadir=options.datadir), world)
        scenes = list_scenes(options.datadir, "inference")
        for seed in options.seeds:
            for share in options.shares:
                config = replace(Config(datadir=options.datadir), hole_share=share, seed=seed)
                trainer = Trainer(config, world, choose_precision(config.precision, world.device))
                warm_up(trainer, evaluation_patches=len(validation))
                outcome = {"hole_share": share, "seed": seed, "accuracies": [], "seconds": []}
                for epoch in range(1, options.epochs + 1):
                    began = time.perf_counter()
                    trainer.train_epoch(epoch, training, lambda steps: None)
                    outcome["seconds"].append(round(time.perf_counter() - began, 1))
                    accuracy = trainer.evaluate(validation).accuracy
                    trainer.schedule.record_accuracy(accuracy)
                    outcome["accuracies"].append(round(accuracy, 4))
                    if epoch in (1, options.epochs):
                        outcome[f"scenes after epoch {epoch}"] = evaluate(trainer, scenes)
                print(json.dumps(outcome), flush=True)
    finally:
        destroy_process_group()


if __name__ == "__main__":
    main()
