"""Evaluate scenes one by one: count every mask against label, truth and SST.

Only sums are kept of each scene, so memory does not grow with the number of scenes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import combinations
from pathlib import Path

from cloudmask.errors import SceneError
from cloudmask.scenes.failures import scene_name
from cloudmask.scenes.readers import product_name
from cloudmask.science.cloud_masks import (
    LABEL,
    LABEL_MASK,
    TRUTH,
    CloudDetectors,
    cloud_masks,
    cloud_probabilities,
    read_references,
)
from cloudmask.science.match_ups import Clear
from cloudmask.science.pixel_features import (
    Mask,
    PixelFeatures,
    read_pixel_features,
)
from cloudmask.science.scene_sums import SceneSums, SumsKey
from cloudmask.science.scene_workers import Progress, map_scenes
from cloudmask.science.scores import (
    Sums,
    confusion_counts,
    confusion_counts_by_class,
    probability_sums,
)
from cloudmask.science.screens.bayesian import BayesianScreen, ScreenTraining
from cloudmask.science.sst.consistency import MIN_SST_KELVIN, sst_sums
from cloudmask.science.strata import Strata, strata_of

ClearAtMatchUps = Callable[[str, Mapping[str, Mask], Mask], Clear]
"""`clear_at` of a table: of a product's name, its masks and its valid pixels."""


def fit_screen(
    scenes: Sequence[Path], unusable: dict[str, str], progress: Progress
) -> BayesianScreen:
    """Fit the Bayesian screen to the labels of these scenes; see `map_scenes`."""
    training = ScreenTraining()

    def add(path: Path) -> None:
        label = read_references(path).get(LABEL)
        if label is None:
            raise SceneError(f"{path.name}: '{LABEL_MASK}' is missing: no label to learn from")
        training.add(read_valid_features(path), label)

    map_scenes(add, scenes, "training scene", unusable, progress)
    return training.screen()


def read_valid_features(path: Path) -> PixelFeatures:
    """The observation of a scene that has valid pixels.

    Raises:
        SceneError: the scene cannot be read, or has no valid pixel.
    """
    features = read_pixel_features(path)
    if not features.valid.any():
        raise SceneError(f"{path.name}: no pixel has all its channels; leave the scene out")
    return features


def evaluate_scene(
    path: Path,
    detectors: CloudDetectors,
    positive_weight: float = 1.0,
    min_sst: float = MIN_SST_KELVIN,
    clear_at_match_ups: ClearAtMatchUps | None = None,
) -> SceneSums:
    """Make all masks of a scene and count them over its valid pixels.

    `positive_weight` is the weight of cloudy pixels in WBCE, `min_sst` the coldest water, K;
    `clear_at_match_ups` gives the masks at the scene's match-ups.

    Raises:
        SceneError: the scene cannot be read, or has no valid pixel.
    """
    features = read_valid_features(path)
    valid = features.valid
    probabilities = cloud_probabilities(features, detectors)
    masks = cloud_masks(path, features, probabilities)
    flat = {name: mask[valid] for name, mask in masks.items()}
    references = read_references(path)
    sums: dict[SumsKey, Sums] = {}
    for reference, cloudy in references.items():
        # The label is right by definition against the mask that it is made of.
        compared = {
            name: mask for name, mask in flat.items() if (reference, name) != (LABEL, LABEL_MASK)
        }
        sums |= _confusion_sums(
            reference, cloudy[valid], compared, strata_of(path, features, cloudy)
        )
        for name, probability in probabilities.items():
            sums["probability", reference, name] = probability_sums(
                probability[valid], cloudy[valid], positive_weight
            )
    for one, other in combinations(flat, 2):
        sums["agreement", one, other] = confusion_counts(flat[one], flat[other])
    scored = masks | {name: mask for name, mask in references.items() if name == TRUTH}
    for name, of_mask in sst_sums(features, scored, min_sst).items():
        sums["sst", name] = of_mask
    day_share = float(features.day[valid].mean())
    clear = clear_at_match_ups(product_name(path), scored, valid) if clear_at_match_ups else {}
    return SceneSums(scene_name(path), day_share, features.surface is not None, sums, clear)


def _confusion_sums(
    reference: str, cloudy: Mask, masks: dict[str, Mask], strata: Strata
) -> dict[SumsKey, Sums]:
    sums: dict[SumsKey, Sums] = {}
    for name, mask in masks.items():
        sums["mask", reference, "all", "all", name] = confusion_counts(mask, cloudy)
        for family, (classes, names) in strata.items():
            counts = confusion_counts_by_class(mask, cloudy, classes, len(names))
            for stratum, row in zip(names, counts, strict=True):
                if row.any():
                    sums["mask", reference, family, stratum, name] = row
    return sums
