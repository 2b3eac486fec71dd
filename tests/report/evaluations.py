"""Evaluations made by the real code from masks of a few random pixels."""

from __future__ import annotations

import json
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np

from cloudmask.science.evaluation_report import evaluation_report
from cloudmask.science.scene_sums import SceneSums
from cloudmask.science.scores import confusion_counts, probability_sums
from cloudmask.science.sst.consistency import BINS
from tests.scene_files import product_name

PIXELS = 2000
RIGHT = {"network": 0.9, "bayesian_screen": 0.95, "threshold_screen": 0.8, "bayes": 0.93}


def scene_sums(number: int, truth: bool = True) -> SceneSums:
    """A scene whose masks are right for about the share of pixels in `RIGHT`."""
    rng = np.random.default_rng(number)
    cloudy = rng.random(PIXELS) < 0.5
    masks = {name: cloudy ^ (rng.random(PIXELS) > share) for name, share in RIGHT.items()}
    references = {"label": masks["bayes"], **({"truth": cloudy} if truth else {})}
    sums: dict[tuple[str, ...], Any] = {}
    for reference, cloud in references.items():
        for name, mask in masks.items():
            if (reference, name) == ("label", "bayes"):
                continue
            sums["mask", reference, "all", "all", name] = confusion_counts(mask, cloud)
            sums["mask", reference, "time", "day", name] = confusion_counts(mask, cloud)
        probability = np.where(masks["network"], 0.83, 0.12).astype(np.float32)
        sums["probability", reference, "network"] = probability_sums(probability, cloud)
    for one, other in combinations(masks, 2):
        sums["agreement", one, other] = confusion_counts(masks[one], masks[other])
    for name, mask in masks.items():
        departures = np.zeros(BINS)
        departures[BINS // 2] = (~mask).sum()
        sums["sst", name] = np.concatenate([[PIXELS, (~mask).sum(), 0], departures])
    return SceneSums(product_name(number), 1.0, True, sums)


def write_evaluation(folder: Path, scenes: int = 3, truth: bool = True) -> Path:
    """An `evaluation.json` in a new folder."""
    counted = [scene_sums(number, truth) for number in range(scenes)]
    unusable = {"S3A_bad.hdf": "S3A_bad.hdf: the file is truncated at 12 bytes"}
    report = evaluation_report(counted, unusable, {"weights": "weights_0.safetensors"})
    folder.mkdir(parents=True)
    path = folder / "evaluation.json"
    path.write_text(json.dumps(report, allow_nan=False))
    return path
