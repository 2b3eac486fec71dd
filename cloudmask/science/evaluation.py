"""The benchmark's scientific question: is the network's mask better than the operational ones?"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import nn

from cloudmask.data.scene import read_mask, read_scene
from cloudmask.science.inference import CLOUD_PROBABILITY, predict_scene
from cloudmask.training.precision import Precision

Mask = NDArray[np.uint8]


def accuracy(mask: Mask, other: Mask) -> float:
    """Share of pixels on which two masks agree."""
    return float((mask == other).mean())


def score_scene(
    path: Path, network: nn.Module, precision: Precision, batch_size: int
) -> dict[str, float]:
    """Accuracies of one scene's masks over all of its 1200 x 1500 pixels.

    `inference_accuracy` compares the network with the label. Where the scene has a `truth`,
    `<mask>_accuracy_against_truth` compares the network, the Bayesian mask and the summary of
    the threshold tests with it.

    Raises:
        SceneError: the scene cannot be read.
    """
    image, label = read_scene(path)
    mask = predict_scene(network, image, precision, batch_size) > CLOUD_PROBABILITY
    network_mask = mask.astype(np.uint8)
    scores = {"inference_accuracy": accuracy(network_mask, label)}
    truth = read_mask(path, "truth")
    if truth is not None:
        masks = {"network": network_mask, "bayes": label, "summary": read_mask(path, "summary")}
        for name, candidate in masks.items():
            if candidate is not None:
                scores[f"{name}_accuracy_against_truth"] = accuracy(candidate, truth)
    return scores


def mean_over_scenes(scores: Sequence[Mapping[str, float]]) -> dict[str, Any]:
    """The run's result: each score's mean over the scenes that have it, and how many scenes."""
    names: Iterable[str] = dict.fromkeys(name for scene in scores for name in scene)
    means = {
        name: round(float(np.mean([scene[name] for scene in scores if name in scene])), 6)
        for name in names
    }
    return {**means, "inference_scenes": len(scores)}
