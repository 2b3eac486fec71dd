"""The report of an evaluation: scores with intervals, differences, and the significant ones.

The report is a dictionary for JSON. `DEFINITIONS`, which it contains, explains its terms.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from itertools import combinations
from typing import Any

from cloudmask.science.bootstrap import (
    BOOTSTRAP_SAMPLES,
    MIN_SCENES,
    Estimate,
    estimates,
    paired_differences,
)
from cloudmask.science.cloud_masks import BAYESIAN, LABEL, NETWORK, TRUTH
from cloudmask.science.scene_sums import SceneSums, SumsByScene, SumsKey
from cloudmask.science.scores import (
    ScoreFunction,
    agreement_scores,
    mask_scores,
    probability_scores,
    reliability_diagram,
)
from cloudmask.science.sst.consistency import sst_scores
from cloudmask.tables import counted

FORMAT = "cloudmask-evaluation-1"
DECIMALS = 6
Json = dict[str, Any]

DEFINITIONS = {
    "pixels": "all scores are over valid pixels: S7-S9 plausible and, by day, S1-S6 measured",
    "network": "the network of the weights, cloud where its probability is above 0.5",
    "bayesian_screen": "pixel screen fitted to the label of the training scenes, clear where the "
    "probability of clear sky is at least 0.5",
    "bayesian_strict": "the same, clear where that probability is at least 0.9",
    "bayesian_surface": "bayesian_screen given the surface too, which the network does not know",
    "threshold_screen": "fixed tests (science/screens/threshold.py), cloud where any detects it",
    "bayes": "operational Bayesian mask of the file, which the label is made of",
    "summary": "operational threshold mask of the file",
    "label": "cloud where bayes > 0",
    "truth": "known only for synthetic scenes",
    "estimate": "value over the pixels of all scenes, with the 95 % percentile interval (low, "
    f"high) of {BOOTSTRAP_SAMPLES} bootstrap samples of scenes; null where undefined",
    "differences": "network minus the named mask, over the same bootstrap samples",
    "accuracy": "share of correct pixels",
    "balanced_accuracy": "mean of the correct shares of the cloudy and of the clear pixels",
    "precision": "cloudy share of the pixels called cloud",
    "recall": "share of the cloudy pixels that are called cloud",
    "f1": "harmonic mean of precision and recall",
    "iou": "intersection over union of the cloudy pixels",
    "brier": "mean squared error of the probability",
    "wbce": "weighted binary cross entropy, the benchmark's formula",
    "calibration_error": "mean difference of probability and cloudy share over 10 bins, weighted "
    "by pixels",
    "cloud edge": "distance to the nearest pixel of the other sky in the reference",
    "agreement": "share of pixels on which two masks agree; kappa: Cohen's, corrected for chance",
    "coverage": "share of sea pixels (all pixels if the surface is unknown) called clear",
    "below_min_sst": "share of the clear pixels colder than min_sst, which cold_tail leaves out",
    "contaminated": "share of the clear pixels whose SST is below min_sst or more than 2 K below "
    "the background, which comes from the temperatures alone (science/sst/background.py)",
    "not_judged": "share of the clear pixels that are at least min_sst and have no background",
    "cold_tail": "share of the clear pixels with a background whose SST is more than 2 K below it",
    "robust_deviation_kelvin": "1.4826 x median absolute deviation, from the background, or of "
    "satellite minus buoy",
    "match_ups": "satellite minus buoy SST where a mask is clear; left_out: rows of the table that "
    "were not compared, by the first reason",
    "bayes_probability": "at match-ups, the table's own probabilities of cloud, clear below 0.9",
}

CIRCULARITY = (
    "The label is the operational Bayesian mask itself: scores against it show how well a mask "
    "imitates that screen, not whether it is better. Only truth and SST consistency show that."
)
NO_TRUTH = "No scene has a truth: SST consistency is the only evidence of which mask is better."
SYNTHETIC_TRUTH = (
    "The truth is that of synthetic scenes: scores against it do not apply to real scenes."
)
TRAINED_ON = "The Bayesian screen was fitted to scenes of this evaluation: its scores are too high."
NO_SCREEN = (
    "No Bayesian screen was fitted, so the network is compared with the operational masks and the "
    "threshold screen alone: give --training-scenes or --bayesian-screen."
)
MULTIPLICITY = (
    "Intervals are not corrected for multiple comparisons: of twenty true zeros, one is expected "
    "to appear different."
)
SST_READING = (
    "Fewer contaminated pixels are better only at the same coverage: a mask that calls few pixels "
    "clear misses little cloud. Water that is truly below min_sst counts as contaminated for every "
    "mask."
)

# The scores whose significant differences are findings; the others are in the tables.
FINDING_SCORES = {
    TRUTH: ("accuracy", "balanced_accuracy", "brier"),
    "sst": ("coverage", "contaminated"),
}


def evaluation_report(
    scenes: Sequence[SceneSums],
    unusable: Mapping[str, str],
    settings: Mapping[str, object],
    match_ups: Json | None = None,
) -> Json:
    """The whole report in JSON's types, None for undefined numbers; `format` is its version.

    `unusable` has the reason for each unusable scene by file name, `match_ups` is `compare`'s.
    """
    sums = SumsByScene(scenes)
    references = {
        name: _against_reference(sums, name) for name in (LABEL, TRUTH) if sums.has_reference(name)
    }
    sst = _estimates_by_mask(sums, ("sst",), sst_scores)
    report: Json = _json_types(
        {
            "format": FORMAT,
            "settings": settings,
            "scenes": [scene.name for scene in scenes],
            "unusable": unusable,
            "findings": _findings(len(scenes), references, sst),
            "notes": _notes(scenes, references, settings),
            "references": references,
            "agreement": _agreement(sums),
            "sst": sst,
            **({} if match_ups is None else {"match_ups": match_ups}),
            "per_scene": [_scene_scores(scene) for scene in scenes],
            "definitions": DEFINITIONS,
        }
    )
    return report


def _against_reference(sums: SumsByScene, reference: str) -> Json:
    all_pixels: SumsKey = ("mask", reference, "all", "all")
    probability: SumsKey = ("probability", reference)
    scores = _estimates_by_mask(sums, all_pixels, mask_scores)
    for part, by_mask in _estimates_by_mask(sums, probability, probability_scores).items():
        for mask, values in by_mask.items():
            scores[part].setdefault(mask, {}).update(values)
    strata: Json = {}
    for family, stratum in sums.strata(reference):
        key: SumsKey = ("mask", reference, family, stratum)
        found = {"pixels": _pixels(sums, key), **_estimates_by_mask(sums, key, mask_scores)}
        strata.setdefault(family, {})[stratum] = found
    return {
        "pixels": _pixels(sums, all_pixels),
        **scores,
        "reliability": {
            mask: reliability_diagram(sums.stack((*probability, mask))[0].sum(axis=0))
            for mask in sums.masks(probability)
        },
        "strata": strata,
    }


def _estimates_by_mask(sums: SumsByScene, prefix: SumsKey, score: ScoreFunction) -> dict[str, Json]:
    """Scores of each mask, and network minus each other mask over the scenes that have both."""
    masks = sums.masks(prefix)
    own = {mask: estimates(score, sums.stack((*prefix, mask))[0]) for mask in masks}
    differences: Json = {}
    if NETWORK in masks:
        for mask in masks:
            pair = sums.stack((*prefix, NETWORK), (*prefix, mask))
            if mask not in (NETWORK, TRUTH) and len(pair[0]):
                differences[mask] = paired_differences(score, *pair)
    return {"masks": own, "differences": differences}


def _pixels(sums: SumsByScene, prefix: SumsKey) -> int:
    return int(sums.stack((*prefix, NETWORK))[0].sum())


def _agreement(sums: SumsByScene) -> list[Json]:
    rows = []
    for one, other in combinations(sums.compared_masks(), 2):
        counts = sums.stack(("agreement", one, other))[0]
        if len(counts):
            rows.append({"masks": [one, other], **estimates(agreement_scores, counts)})
    return rows


def _scene_scores(scene: SceneSums) -> Json:
    """Scores of one scene, without intervals."""

    def by_mask(prefix: SumsKey, score: ScoreFunction) -> Json:
        return {key[-1]: score(sums) for key, sums in scene.sums.items() if key[:-1] == prefix}

    references: Json = {}
    for reference in (LABEL, TRUTH):
        scores = by_mask(("mask", reference, "all", "all"), mask_scores)
        for mask, more in by_mask(("probability", reference), probability_scores).items():
            scores[mask] |= more
        if scores:
            references[reference] = scores
    return {
        "scene": scene.name,
        "day_share": scene.day_share,
        "references": references,
        "sst": by_mask(("sst",), sst_scores),
    }


def _notes(
    scenes: Sequence[SceneSums], references: Json, settings: Mapping[str, object]
) -> list[str]:
    notes = []
    if len(scenes) < MIN_SCENES:
        notes.append(
            f"Intervals from {counted(len(scenes), 'scene')} are uninformative (fewer than "
            f"{MIN_SCENES}): they show only how the scenes differ, and no finding is derived from "
            "them."
        )
    truth = SYNTHETIC_TRUTH if TRUTH in references else NO_TRUTH
    notes += [CIRCULARITY, truth, MULTIPLICITY, SST_READING]
    if settings.get("scenes_also_trained_on"):
        notes.append(TRAINED_ON)
    without_screen = sum(not any(BAYESIAN in key for key in scene.sums) for scene in scenes)
    if not (settings.get("training_scenes") or settings.get("bayesian_screen")):
        notes.append(NO_SCREEN)
    elif without_screen:
        notes.append(
            f"No mask of the Bayesian screen for {counted(without_screen, 'scene')} with pixels of "
            "a time of day that it was not fitted to."
        )
    unknown = sum(not scene.surface_known for scene in scenes)
    if unknown:
        notes.append(
            f"The surface is unknown in {counted(unknown, 'scene')}: SST statistics include land "
            "and ice there and take wide uniform cloud for sea, and the screens treat all pixels "
            "alike."
        )
    return notes


def _findings(scenes: int, references: Json, sst: Json) -> list[str]:
    """One sentence for each difference whose interval excludes zero."""
    if scenes < MIN_SCENES:
        return [f"No findings from {counted(scenes, 'scene')}; evaluate {MIN_SCENES} or more."]
    evidence = [("SST consistency", sst, FINDING_SCORES["sst"])]
    if TRUTH in references:
        evidence.insert(0, (f"against {TRUTH}", references[TRUTH], FINDING_SCORES[TRUTH]))
    findings = [
        f"{source}: {score} of the network differs from that of {mask} by "
        f"{found.value:+.4f} ({found.low:+.4f} to {found.high:+.4f})"
        for source, part, names in evidence
        for mask, scores in part["differences"].items()
        for score, found in scores.items()
        if score in names and found.differs_from_zero
    ]
    return findings or ["No interval of a difference excludes zero: there are no findings."]


def _json_types(value: Any) -> Any:
    """The same in JSON's own types; undefined numbers become None."""
    if isinstance(value, Estimate):
        return _json_types(vars(value))
    if isinstance(value, Mapping):
        return {str(key): _json_types(part) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return [_json_types(part) for part in value]
    if value is None or isinstance(value, str | bool | int):
        return value
    number = float(value)
    return round(number, DECIMALS) if math.isfinite(number) else None
