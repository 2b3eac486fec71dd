"""Strata of the pixels: time of day, distance to the cloud edge, surface, type of cloud."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import distance_transform_edt

from cloudmask.science.pixel_features import Mask, PixelFeatures, read_classification

# Classes of the distance to the nearest pixel of the other sky: upper ends (included), km.
EDGE_KM = (2, 5, 15)
EDGE_NAMES = ("up to 2 km", "2 to 5 km", "5 to 15 km", "over 15 km")

Strata = dict[str, tuple[NDArray[np.integer], tuple[str, ...]]]
"""By family: the stratum of each valid pixel (pixels,), and the names of the strata."""


def strata_of(path: Path, features: PixelFeatures, cloudy: Mask) -> Strata:
    """The strata of a scene whose reference mask (1200, 1500) is `cloudy`.

    Raises:
        SceneError: the types of cloud in the file cannot be read.
    """
    valid = features.valid
    strata: Strata = {
        "time": (features.day[valid].astype(np.uint8), ("night", "day")),
        "cloud edge": (edge_classes(cloudy, valid)[valid], EDGE_NAMES),
    }
    kinds = {"surface": features.surface, "cloud type": read_classification(path, "cloud_type")}
    for family, kind in kinds.items():
        if kind is not None:
            values = sorted(kind.names)
            classes = np.zeros(256, np.uint8)
            classes[values] = np.arange(1, len(values) + 1)
            names = ("none", *(kind.names[value] for value in values))
            strata[family] = (classes[kind.values[valid]], names)
    return strata


def edge_classes(cloudy: Mask, valid: Mask) -> NDArray[np.int64]:
    """Index into `EDGE_NAMES` of the distance to the nearest valid pixel of the other sky."""
    skies = [cloudy & valid, ~cloudy & valid]
    distance = np.full(cloudy.shape, np.inf)
    if all(sky.any() for sky in skies):
        for sky in skies:
            distance = np.where(sky, distance, distance_transform_edt(~sky))
    return np.searchsorted(EDGE_KM, distance)
