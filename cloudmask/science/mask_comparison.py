"""The story of `evaluate`: every mask of every scene, counted against label, truth and SST.

Scenes are taken one by one and only their counts are kept, so memory does not grow with them.
What the counts come to over all scenes is told in `findings`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import combinations
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import distance_transform_edt
from torch import nn

from cloudmask.errors import InputError, SceneError
from cloudmask.inference.whole_scene import predict_scene
from cloudmask.model.precision import Precision
from cloudmask.scenes.hdf5_scene import read_mask
from cloudmask.scenes.layout import SCENE_PATTERN
from cloudmask.scenes.mask_files import CLOUD_PROBABILITY
from cloudmask.scenes.scene import normalise
from cloudmask.science.observation import Observation, Plane, observe, read_classification
from cloudmask.science.pixel_counts import Mask, Sums, count, count_classes, sum_probabilities
from cloudmask.science.screens.bayesian import (
    CLEAR_PROBABILITY,
    STRICT_CLEAR_PROBABILITY,
    BayesianScreen,
    Training,
)
from cloudmask.science.screens.threshold import threshold_flags
from cloudmask.science.sst.consistency import MIN_SST_KELVIN, count_sst

NETWORK = "network"
BAYESIAN, STRICT_BAYESIAN, THRESHOLD = "bayesian_screen", "bayesian_strict", "threshold_screen"
OPERATIONAL = ("bayes", "summary")
LABEL, TRUTH = "label", "truth"
# Against the label, the mask from which it is made would be right by definition.
LABEL_MASK = "bayes"

# Distance to the nearest pixel of the other sky, km: upper ends of the classes.
EDGE_KM = (2, 5, 15)
EDGE_NAMES = ("up to 2 km", "2 to 5 km", "5 to 15 km", "over 15 km")

Key = tuple[str, ...]
Report = Callable[[int], object]
Strata = dict[str, tuple[NDArray[np.integer], tuple[str, ...]]]


@dataclass(frozen=True)
class Screens:
    """What makes masks of a scene, and how."""

    network: nn.Module | None
    """None leaves the network's mask out."""
    precision: Precision
    batch_size: int = 8
    bayesian: BayesianScreen | None = None
    positive_weight: float = 1.0
    """Weight of cloudy pixels in WBCE."""
    min_sst: float = MIN_SST_KELVIN


@dataclass(frozen=True)
class SceneSums:
    """All that is kept of a scene. Keys of `sums`, and where their sums are explained:

    ("mask", reference, family, stratum, mask): `counts.mask_scores`, family `all` for all pixels;
    ("probability", reference, mask): `counts.probability_scores`;
    ("agreement", mask, mask): `counts.agreement_scores`; ("sst", mask): `sst.sst_scores`.
    """

    name: str
    day_share: float
    surface_known: bool
    sums: dict[Key, Sums]


@dataclass
class Unusable:
    """Scenes that could not be used, by file name, and why."""

    problems: dict[str, str] = field(default_factory=dict)

    def add(self, path: Path, error: SceneError) -> None:
        self.problems[path.name] = str(error)


def find_scenes(folder: Path, option: str) -> list[Path]:
    """Scenes at any depth of a folder, sorted by path.

    Raises:
        InputError: there is no such folder, or no scene in it.
    """
    if not folder.is_dir():
        raise InputError(f"{option} {folder} is not a folder: give one that holds scenes")
    scenes = sorted(path for path in folder.rglob(SCENE_PATTERN) if path.is_file())
    if not scenes:
        raise InputError(f"{option} {folder} holds no scene: expected files {SCENE_PATTERN}")
    return scenes


def fit_screen(scenes: Sequence[Path], unusable: Unusable, report: Report) -> BayesianScreen:
    """Learn the Bayesian screen from the labels of these scenes.

    Raises:
        InputError: none of them can be used.
    """
    training = Training()
    for path in scenes:
        try:
            label = read_mask(path, LABEL_MASK)
            if label is None:
                raise SceneError(f"{path.name}: '{LABEL_MASK}' is missing: no label to learn from")
            training.add(observe(path), label > 0)
        except SceneError as error:
            unusable.add(path, error)
        report(1)
    screen = training.screen()
    if not screen.cases:
        raise InputError(_none_usable("training scene", unusable))
    return screen


def count_scenes(
    scenes: Sequence[Path], screens: Screens, unusable: Unusable, report: Report
) -> list[SceneSums]:
    """The sums of each scene; a scene that cannot be used is named in `unusable`, and left out.

    Raises:
        InputError: none of them can be used.
    """
    counted = []
    for path in scenes:
        try:
            counted.append(count_scene(path, screens))
        except SceneError as error:
            unusable.add(path, error)
        report(1)
    if not counted:
        raise InputError(_none_usable("scene", unusable))
    return counted


def count_scene(path: Path, screens: Screens) -> SceneSums:
    """Make all masks of a scene and count them over its valid pixels.

    Raises:
        SceneError: the scene cannot be read, or has no valid pixel.
    """
    seen = observe(path)
    valid = seen.valid
    if not valid.any():
        raise SceneError(f"{path.name}: no pixel has all its channels; remove the scene")
    probabilities = cloud_probabilities(seen, screens)
    masks = cloud_masks(path, seen, probabilities)
    flat = {name: mask[valid] for name, mask in masks.items()}
    sums: dict[Key, Sums] = {}
    for reference, cloudy in read_references(path).items():
        judged = {
            name: mask
            for name, mask in flat.items()
            if not (reference == LABEL and name == LABEL_MASK)
        }
        strata = _strata(path, seen, cloudy)
        sums.update(_count_masks(reference, cloudy[valid], judged, strata))
        for name, probability in probabilities.items():
            sums["probability", reference, name] = sum_probabilities(
                probability[valid], cloudy[valid], screens.positive_weight
            )
    for one, other in combinations(flat, 2):
        sums["agreement", one, other] = count(flat[one], flat[other])
    truth = read_mask(path, TRUTH)
    shown = masks if truth is None else {**masks, TRUTH: truth > 0}
    for name, counts in count_sst(seen, shown, list(masks), screens.min_sst).items():
        sums["sst", name] = counts
    day_share = float(seen.day[valid].mean())
    return SceneSums(path.name, day_share, seen.surface is not None, sums)


def cloud_probabilities(seen: Observation, screens: Screens) -> dict[str, Plane]:
    """Probability of cloud (1200, 1500) by each mask that gives one for all valid pixels."""
    probabilities = {}
    if screens.network is not None:
        image = normalise(seen.channels.copy())
        probabilities[NETWORK] = predict_scene(
            screens.network, image, screens.precision, screens.batch_size
        )
    if screens.bayesian is not None:
        bayesian = screens.bayesian.cloud_probability(seen)
        if np.isfinite(bayesian[seen.valid]).all():
            probabilities[BAYESIAN] = bayesian
    return probabilities


def cloud_masks(path: Path, seen: Observation, probabilities: dict[str, Plane]) -> dict[str, Mask]:
    """All masks (1200, 1500): those of the probabilities, the threshold screen, the operational.

    Raises:
        SceneError: a mask of the file cannot be read.
    """
    masks: dict[str, Mask] = {}
    if NETWORK in probabilities:
        masks[NETWORK] = probabilities[NETWORK] > CLOUD_PROBABILITY
    if BAYESIAN in probabilities:
        masks[BAYESIAN] = probabilities[BAYESIAN] > 1 - CLEAR_PROBABILITY
        masks[STRICT_BAYESIAN] = probabilities[BAYESIAN] > 1 - STRICT_CLEAR_PROBABILITY
    masks[THRESHOLD] = threshold_flags(seen) > 0
    for name in OPERATIONAL:
        flags = read_mask(path, name)
        if flags is not None:
            masks[name] = flags > 0
    return masks


def read_references(path: Path) -> dict[str, Mask]:
    """Cloud (1200, 1500) by `LABEL` and `TRUTH`, as far as the file has them.

    Raises:
        SceneError: one of them cannot be read.
    """
    found = {LABEL: read_mask(path, LABEL_MASK), TRUTH: read_mask(path, TRUTH)}
    return {name: flags > 0 for name, flags in found.items() if flags is not None}


def _count_masks(
    reference: str, cloudy: Mask, masks: dict[str, Mask], strata: Strata
) -> dict[Key, Sums]:
    sums: dict[Key, Sums] = {}
    for name, mask in masks.items():
        sums["mask", reference, "all", "all", name] = count(mask, cloudy)
        for family, (classes, names) in strata.items():
            counts = count_classes(mask, cloudy, classes, len(names))
            for stratum, row in zip(names, counts, strict=True):
                if row.any():
                    sums["mask", reference, family, stratum, name] = row
    return sums


def _strata(path: Path, seen: Observation, cloudy: Mask) -> Strata:
    """Families of strata: the class of each valid pixel, and the classes' names."""
    valid = seen.valid
    strata: Strata = {
        "time": (seen.day[valid].astype(np.uint8), ("night", "day")),
        "cloud edge": (_edge_classes(cloudy, valid)[valid], EDGE_NAMES),
    }
    kinds = {"surface": seen.surface, "cloud type": read_classification(path, "cloud_type")}
    for family, kind in kinds.items():
        if kind is not None:
            values = sorted(kind.names)
            classes = np.zeros(256, np.uint8)
            classes[values] = np.arange(1, len(values) + 1)
            names = ("none", *(kind.names[value] for value in values))
            strata[family] = (classes[kind.values[valid]], names)
    return strata


def _edge_classes(cloudy: Mask, valid: Mask) -> NDArray[np.int64]:
    """Class of each pixel's distance to the nearest valid pixel of the other sky."""
    distance = np.full(cloudy.shape, np.inf)
    for sky in (cloudy & valid, ~cloudy & valid):
        if sky.any():
            # The distance to this sky, for the pixels that are not of it.
            distance = np.where(sky, distance, distance_transform_edt(~sky))
    if not (cloudy & valid).any() or not (~cloudy & valid).any():
        distance[:] = np.inf
    return np.searchsorted(EDGE_KM, distance)


def _none_usable(what: str, unusable: Unusable) -> str:
    name, problem = next(iter(unusable.problems.items()))
    return f"no {what} can be used; the first of {len(unusable.problems)}: {problem or name}"
