"""The benchmark's scientific question: is the network's mask better than the operational ones?"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cloudmask.errors import SceneError
from cloudmask.scenes.hdf5_scene import read_mask
from cloudmask.scenes.mask_files import CLOUD_PROBABILITY
from cloudmask.scenes.scene import normalise
from cloudmask.science.observation import Observation, observe
from cloudmask.science.sst.consistency import MIN_SST_KELVIN, count_sst, sst_scores

Mask = NDArray[np.uint8]


def accuracy(mask: Mask, other: Mask) -> float:
    """Share of pixels on which two masks agree."""
    return float((mask == other).mean())


@dataclass(frozen=True)
class Labelled:
    """A scene with every mask that its file holds; `truth` and `summary` may be missing."""

    seen: Observation
    image: NDArray[np.float32]
    label: Mask
    summary: Mask | None
    truth: Mask | None


def read_labelled(path: Path) -> Labelled:
    """What is needed of a scene to score a network on it.

    Raises:
        SceneError: the scene cannot be read, or has no label.
    """
    seen, label = observe(path), read_mask(path, "bayes")
    if label is None:
        raise SceneError(f"{path.name}: 'bayes' is missing: no label to compare with")
    image = normalise(seen.channels.copy())
    return Labelled(seen, image, label, read_mask(path, "summary"), read_mask(path, "truth"))


def score_scene(
    scene: Labelled, probability: NDArray[np.float32], min_sst: float = MIN_SST_KELVIN
) -> dict[str, float]:
    """Accuracies of one scene's masks over all of its 1200 x 1500 pixels, and SST consistency.

    `inference_accuracy` compares the network with the label. Where the scene has a `truth`,
    `<mask>_accuracy_against_truth` compares the network, the Bayesian mask and the summary of
    the threshold tests with it. `<mask>_sst_coverage` and `<mask>_sst_cold_tail`, which need no
    truth, are those of `sst_scores` for water of at least `min_sst` kelvin; a score that is not
    defined is left out.
    """
    network_mask = (probability > CLOUD_PROBABILITY).astype(np.uint8)
    scores = {"inference_accuracy": accuracy(network_mask, scene.label)}
    found = {"network": network_mask, "bayes": scene.label, "summary": scene.summary}
    masks = {name: mask for name, mask in found.items() if mask is not None}
    if scene.truth is not None:
        for name, mask in masks.items():
            scores[f"{name}_accuracy_against_truth"] = accuracy(mask, scene.truth)
    clouds = {name: mask > 0 for name, mask in masks.items()}
    for name, sums in count_sst(scene.seen, clouds, list(clouds), min_sst).items():
        of_mask = sst_scores(sums)
        for score in ("coverage", "cold_tail"):
            if np.isfinite(of_mask[score]):
                scores[f"{name}_sst_{score}"] = float(of_mask[score])
    return scores


def mean_over_scenes(scores: Sequence[Mapping[str, float]]) -> dict[str, Any]:
    """The run's result: each score's mean over the scenes that have it, and how many scenes."""
    names: Iterable[str] = dict.fromkeys(name for scene in scores for name in scene)
    means = {
        name: round(float(np.mean([scene[name] for scene in scores if name in scene])), 6)
        for name in names
    }
    return {**means, "inference_scenes": len(scores)}
