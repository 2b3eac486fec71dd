"""All cloud masks of a scene: network, fitted screens, and the operational masks of its file."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from torch import nn

from cloudmask.inference.whole_scene import predict_scene
from cloudmask.model.precision import Precision
from cloudmask.scenes.hdf5_scene import read_mask
from cloudmask.scenes.mask_variables import CLOUD_PROBABILITY
from cloudmask.scenes.scene import normalise
from cloudmask.scenes.sen3_files import is_sen3
from cloudmask.science.pixel_features import Mask, PixelFeatures, Plane, read_product
from cloudmask.science.screens.bayesian import (
    CLEAR_PROBABILITY,
    STRICT_CLEAR_PROBABILITY,
    BayesianScreen,
)
from cloudmask.science.screens.threshold import threshold_flags

NETWORK = "network"
BAYESIAN, STRICT_BAYESIAN, THRESHOLD = "bayesian_screen", "bayesian_strict", "threshold_screen"
BAYESIAN_BY_SURFACE = "bayesian_surface"
"""The Bayesian screen that is given the surface, which the network does not know."""
OPERATIONAL = ("bayes", "summary")
LABEL, TRUTH = "label", "truth"
LABEL_MASK = "bayes"
"""The operational mask that the label is made of."""


@dataclass(frozen=True)
class CloudDetectors:
    """The network, with how to run it, and the fitted Bayesian screen; each may be missing."""

    network: nn.Module | None
    precision: Precision
    batch_size: int = 8
    bayesian: BayesianScreen | None = None


def cloud_probabilities(features: PixelFeatures, detectors: CloudDetectors) -> dict[str, Plane]:
    """Cloud probability (1200, 1500) of each detector that has one for all valid pixels."""
    probabilities = {}
    if detectors.network is not None:
        image = normalise(features.channels.copy())
        probabilities[NETWORK] = predict_scene(
            detectors.network, image, detectors.precision, detectors.batch_size
        )
    if detectors.bayesian is not None:
        variants = {BAYESIAN: False} | ({BAYESIAN_BY_SURFACE: True} if features.surface else {})
        for name, by_surface in variants.items():
            probability = detectors.bayesian.cloud_probability(features, by_surface)
            if np.isfinite(probability[features.valid]).all():
                probabilities[name] = probability
    return probabilities


def cloud_masks(
    path: Path, features: PixelFeatures, probabilities: dict[str, Plane]
) -> dict[str, Mask]:
    """All masks (1200, 1500) of a scene by name; masks that it lacks are left out.

    Raises:
        SceneError: a mask of the file cannot be read.
    """
    masks: dict[str, Mask] = {}
    if NETWORK in probabilities:
        masks[NETWORK] = probabilities[NETWORK] > CLOUD_PROBABILITY
    if BAYESIAN in probabilities:
        masks[BAYESIAN] = probabilities[BAYESIAN] > 1 - CLEAR_PROBABILITY
        masks[STRICT_BAYESIAN] = probabilities[BAYESIAN] > 1 - STRICT_CLEAR_PROBABILITY
    if BAYESIAN_BY_SURFACE in probabilities:
        masks[BAYESIAN_BY_SURFACE] = probabilities[BAYESIAN_BY_SURFACE] > 1 - CLEAR_PROBABILITY
    masks[THRESHOLD] = threshold_flags(features) > 0
    return masks | read_masks(path, OPERATIONAL)


def read_references(path: Path) -> dict[str, Mask]:
    """The reference masks (1200, 1500) of the file: `LABEL` and `TRUTH`, where present.

    Raises:
        SceneError: one of them cannot be read.
    """
    masks = read_masks(path, (LABEL_MASK, TRUTH))
    return {LABEL if name == LABEL_MASK else name: mask for name, mask in masks.items()}


def read_masks(path: Path, names: Sequence[str]) -> dict[str, Mask]:
    """Those of these masks (1200, 1500) that the file has, True where cloudy.

    Raises:
        SceneError: one of them cannot be read.
    """
    if is_sen3(path):
        scene = read_product(path)
        of_product = {LABEL_MASK: scene.label, "summary": scene.summary}
        flags = {name: of_product.get(name) for name in names}
    else:
        flags = {name: read_mask(path, name) for name in names}
    return {name: mask > 0 for name, mask in flags.items() if mask is not None}
