"""Scores of the inference scenes, which the timed run logs as its `result` event."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cloudmask.errors import SceneError
from cloudmask.scenes.mask_variables import CLOUD_PROBABILITY
from cloudmask.scenes.scene import normalise
from cloudmask.science.cloud_masks import LABEL_MASK, NETWORK, OPERATIONAL, TRUTH, read_masks
from cloudmask.science.pixel_features import Mask, PixelFeatures, read_pixel_features
from cloudmask.science.sst.consistency import MIN_SST_KELVIN, sst_scores, sst_sums

MEANINGS = {
    "inference_accuracy": "share of all pixels at which the network agrees with the label, mean "
    "over the inference scenes",
    "measured_accuracy": "the same over the pixels that have a measurement",
    "inference_scenes": "number of inference scenes",
    "seconds_per_scene": "wall time of reading, network and scores, divided by the scenes; s",
}
MEANINGS_OF_MASKS = {
    "_accuracy_against_truth": "share of measured pixels at which {mask} agrees with the truth, "
    "which only synthetic scenes have",
    "_sst_coverage": "share of sea pixels (all where the surface is unknown) that {mask} calls "
    "clear",
    "_sst_contaminated": "share of the clear pixels of {mask} whose sea surface temperature is "
    "below the minimum or over 2 K below the background: missed cloud",
    "_sst_not_judged": "share of the clear pixels of {mask} without a background to compare with",
    "_sst_cold_tail": "share of the clear pixels of {mask} with a background whose sea surface "
    "temperature is over 2 K below it",
}
MASKS_IN_WORDS = {
    NETWORK: "the network",
    LABEL_MASK: "the Bayesian screen (the label)",
    "summary": "the threshold tests",
    TRUTH: "the truth",
}


SST_SCORES = ("coverage", "contaminated", "not_judged", "cold_tail")


@dataclass(frozen=True)
class LabelledScene:
    """A scene with the masks of its file by name: `bayes`, and `summary` and `truth` if present."""

    features: PixelFeatures
    image: NDArray[np.float32]
    """Normalised channels (1200, 1500, 9)."""
    masks: Mapping[str, Mask]


def read_labelled_scene(path: Path) -> LabelledScene:
    """Read what `score_scene` needs.

    Raises:
        SceneError: the scene cannot be read, or has no label.
    """
    features = read_pixel_features(path)
    masks = read_masks(path, (*OPERATIONAL, TRUTH))
    if LABEL_MASK not in masks:
        raise SceneError(f"{path.name}: '{LABEL_MASK}' is missing: no label to compare with")
    return LabelledScene(features, normalise(features.channels.copy()), masks)


def score_scene(
    scene: LabelledScene, probability: NDArray[np.float32], min_sst: float = MIN_SST_KELVIN
) -> dict[str, float]:
    """Scores of the masks of one scene, over the pixels that have a measurement.

    `inference_accuracy`, the benchmark's own, compares the network with the label over all of the
    scene's pixels, also those that nothing measured; `measured_accuracy` is that of the others.
    `<mask>_accuracy_against_truth` compares network, `bayes` and `summary` with `truth`, where the
    scene has it.
    `<mask>_sst_<score>` are those of `sst_scores` for water of at least `min_sst` K. Undefined
    scores are left out.
    """
    masks = {NETWORK: probability > CLOUD_PROBABILITY, **scene.masks}
    truth = masks.pop(TRUTH, None)
    measured = scene.features.measured
    scores = {"inference_accuracy": float((masks[NETWORK] == masks[LABEL_MASK]).mean())}
    if measured.any():
        scores["measured_accuracy"] = _accuracy(masks[NETWORK], masks[LABEL_MASK], measured)
        if truth is not None:
            for name, mask in masks.items():
                scores[f"{name}_accuracy_against_truth"] = _accuracy(mask, truth, measured)
    for name, sums in sst_sums(scene.features, masks, min_sst).items():
        of_mask = sst_scores(sums)
        for score in SST_SCORES:
            if np.isfinite(of_mask[score]):
                scores[f"{name}_sst_{score}"] = float(of_mask[score])
    return scores


def mean_over_scenes(scores: Sequence[Mapping[str, float]]) -> dict[str, Any]:
    """Mean of each score over the scenes that have it, and the number of scenes."""
    names = dict.fromkeys(name for scene in scores for name in scene)
    means = {
        name: round(float(np.mean([scene[name] for scene in scores if name in scene])), 6)
        for name in names
    }
    return {**means, "inference_scenes": len(scores)}


def meanings(scores: Mapping[str, Any]) -> dict[str, str]:
    """What each score of a result means, for its readers."""
    return {name: _meaning(name) for name in scores}


def _meaning(name: str) -> str:
    if name in MEANINGS:
        return MEANINGS[name]
    for ending, meaning in MEANINGS_OF_MASKS.items():
        if name.endswith(ending):
            return meaning.format(mask=MASKS_IN_WORDS[name.removesuffix(ending)])
    raise ValueError(f"the score {name} has no meaning")


def _accuracy(mask: Mask, reference: Mask, pixels: Mask) -> float:
    return float((mask == reference)[pixels].mean())
