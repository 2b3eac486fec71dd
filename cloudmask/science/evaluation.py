"""The benchmark's scientific question: is the network's mask better than the operational ones?"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cloudmask.data.scene import read_mask, read_scene
from cloudmask.science.inference import CLOUD_PROBABILITY

Mask = NDArray[np.uint8]


def accuracy(mask: Mask, other: Mask) -> float:
    """Share of pixels on which two masks agree."""
    return float((mask == other).mean())


@dataclass(frozen=True)
class Labelled:
    """A scene with every mask that its file holds; `truth` and `summary` may be missing."""

    image: NDArray[np.float32]
    label: Mask
    summary: Mask | None
    truth: Mask | None


def read_labelled(path: Path) -> Labelled:
    """What is needed of a scene to score a network on it.

    Raises:
        SceneError: the scene cannot be read.
    """
    image, label = read_scene(path)
    return Labelled(image, label, read_mask(path, "summary"), read_mask(path, "truth"))


def score_scene(scene: Labelled, probability: NDArray[np.float32]) -> dict[str, float]:
    """Accuracies of one scene's masks over all of its 1200 x 1500 pixels.

    `inference_accuracy` compares the network with the label. Where the scene has a `truth`,
    `<mask>_accuracy_against_truth` compares the network, the Bayesian mask and the summary of
    the threshold tests with it.
    """
    network_mask = (probability > CLOUD_PROBABILITY).astype(np.uint8)
    scores = {"inference_accuracy": accuracy(network_mask, scene.label)}
    if scene.truth is not None:
        masks = {"network": network_mask, "bayes": scene.label, "summary": scene.summary}
        for name, candidate in masks.items():
            if candidate is not None:
                scores[f"{name}_accuracy_against_truth"] = accuracy(candidate, scene.truth)
    return scores


def mean_over_scenes(scores: Sequence[Mapping[str, float]]) -> dict[str, Any]:
    """The run's result: each score's mean over the scenes that have it, and how many scenes."""
    names: Iterable[str] = dict.fromkeys(name for scene in scores for name in scene)
    means = {
        name: round(float(np.mean([scene[name] for scene in scores if name in scene])), 6)
        for name in names
    }
    return {**means, "inference_scenes": len(scores)}
