"""What the counts of all scenes come to: scores with intervals, differences, and what may be said.

The report is a dictionary for JSON. `DEFINITIONS`, which it carries, explains its terms.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from itertools import combinations
from typing import Any

from cloudmask.science.mask_comparison import (
    BAYESIAN,
    LABEL,
    NETWORK,
    TRUTH,
    Key,
    SceneSums,
    Unusable,
)
from cloudmask.science.pixel_counts import (
    Scores,
    Scoring,
    agreement_scores,
    mask_scores,
    probability_scores,
    reliability,
)
from cloudmask.science.sst.consistency import sst_scores
from cloudmask.science.statistics import (
    FEWEST_SCENES,
    RESAMPLINGS,
    Estimate,
    differences,
    estimates,
)
from cloudmask.science.tally import Tally

FORMAT = "cloudmask-evaluation-1"
DECIMALS = 6
Json = dict[str, Any]

DEFINITIONS = {
    "pixels": "all scores are over valid pixels: S7-S9 plausible and, by day, S1-S6 measured",
    "network": "the network of the weights, cloud where its probability is above 0.5",
    "bayesian_screen": "pixel screen fitted to the label of the training scenes, clear where the "
    "probability of clear sky is at least 0.5",
    "bayesian_strict": "the same, clear where that probability is at least 0.9",
    "threshold_screen": "fixed tests (science/screens/threshold.py), cloud where any finds it",
    "bayes": "the operational Bayesian mask of the file; the label is made of it",
    "summary": "the operational threshold mask of the file",
    "label": "cloud where bayes > 0",
    "truth": "known only for synthetic scenes",
    "estimate": f"value over all scenes' pixels together, with the 95 % percentile interval (low, "
    f"high) of {RESAMPLINGS} bootstrap resamplings of scenes; null where not defined",
    "differences": "network minus the named mask, over the same resamplings of the same scenes",
    "accuracy": "share of pixels that are right",
    "balanced_accuracy": "mean of the shares of cloudy and of clear pixels that are right",
    "precision": "share of the pixels called cloud that are cloud",
    "recall": "share of the cloudy pixels that are called cloud",
    "f1": "harmonic mean of precision and recall",
    "iou": "cloud in both over cloud in either",
    "brier": "mean squared error of the probability",
    "wbce": "weighted binary cross entropy, the benchmark's formula",
    "calibration_error": "mean distance of probability and share of cloud over 10 bins, weighted "
    "by pixels",
    "cloud edge": "distance to the nearest pixel of the other sky in the reference",
    "agreement": "share of pixels on which two masks agree; kappa: Cohen's, less chance",
    "coverage": "share of sea pixels (all pixels if the surface is unknown) called clear",
    "below_min_sst": "share of the clear that are colder than min_sst; the rest goes on",
    "judged": "share of the clear that have a background of pixels all masks call clear",
    "cold_tail": "share of the judged whose SST is more than 2 K below the background",
    "robust_deviation_kelvin": "1.4826 x median absolute deviation from the background",
}

CIRCULARITY = (
    "The label is the operational Bayesian mask itself: scores against it tell how well a mask "
    "imitates that screen, never whether it is better. Only truth and SST consistency can tell."
)
NO_TRUTH = "No scene has a truth: SST consistency is the only evidence on what is better."
SYNTHETIC_TRUTH = (
    "The truth is that of synthetic scenes: what is found against it says nothing of the real sky."
)
SEEN_BEFORE = "The Bayesian screen was fitted to scenes that it is judged on: it looks too good."
NO_SCREEN = (
    "No Bayesian screen was fitted, so the network is compared with the operational masks and the "
    "threshold tests alone: give --training-scenes, or --bayesian-screen."
)
MULTIPLICITY = (
    "Each interval stands for itself; among twenty true zeros one is expected to look different."
)
SST_READING = (
    "A thinner cold tail is better only at the same coverage: who calls little clear lets little "
    "cloud through."
)

# Scores about which the findings speak; the others are in the tables.
CLAIMED = {TRUTH: ("accuracy", "balanced_accuracy", "brier"), "sst": ("coverage", "cold_tail")}


def report_findings(
    scenes: Sequence[SceneSums], unusable: Unusable, settings: Mapping[str, object]
) -> Json:
    """The whole report, ready for JSON: no NaN, plain types, versioned by `format`."""
    tally = Tally(scenes)
    references = {name: _against(tally, name) for name in (LABEL, TRUTH) if tally.has(name)}
    sst = _estimates_by_mask(tally, ("sst",), sst_scores)
    report = {
        "format": FORMAT,
        "settings": dict(settings),
        "scenes": [scene.name for scene in scenes],
        "unusable": dict(unusable.problems),
        "findings": [],
        "notes": _notes(scenes, references, settings),
        "references": references,
        "agreement": _agreement(tally),
        "sst": sst,
        "per_scene": [_scene(scene) for scene in scenes],
        "definitions": DEFINITIONS,
    }
    report["findings"] = _claims(report, len(scenes))
    plain: Json = _plain(report)
    return plain


def _against(tally: Tally, reference: str) -> Json:
    prefix: Key = ("mask", reference, "all", "all")
    scores = _estimates_by_mask(tally, prefix, mask_scores)
    probabilities = _estimates_by_mask(tally, ("probability", reference), probability_scores)
    for part, by_mask in probabilities.items():
        for mask, values in by_mask.items():
            scores[part].setdefault(mask, {}).update(values)
    strata: Json = {}
    for family, stratum in tally.strata(reference):
        of: Key = ("mask", reference, family, stratum)
        found = {"pixels": _pixels(tally, of), **_estimates_by_mask(tally, of, mask_scores)}
        strata.setdefault(family, {})[stratum] = found
    return {
        "pixels": _pixels(tally, prefix),
        **scores,
        "reliability": {
            mask: reliability(tally.stack(("probability", reference, mask))[0].sum(axis=0))
            for mask in tally.last_of(("probability", reference))
        },
        "strata": strata,
    }


def _estimates_by_mask(tally: Tally, prefix: Key, scoring: Scoring) -> dict[str, Json]:
    """Scores of each mask, and of the network less each other, over the scenes that have both."""
    masks = tally.last_of(prefix)
    own = {mask: estimates(scoring, tally.stack((*prefix, mask))[0]) for mask in masks}
    less: Json = {}
    if NETWORK in masks:
        for mask in masks:
            pair = tally.stack((*prefix, NETWORK), (*prefix, mask))
            if mask not in (NETWORK, TRUTH) and len(pair[0]):
                less[mask] = differences(scoring, *pair)
    return {"masks": own, "differences": less}


def _pixels(tally: Tally, prefix: Key) -> int:
    return int(tally.stack((*prefix, NETWORK))[0].sum())


def _agreement(tally: Tally) -> list[Json]:
    rows = []
    for one, other in combinations(tally.masks(), 2):
        sums = tally.stack(("agreement", one, other))[0]
        if len(sums):
            rows.append({"masks": [one, other], **estimates(agreement_scores, sums)})
    return rows


def _scene(scene: SceneSums) -> Json:
    """One scene's scores, without intervals."""
    tally = Tally([scene])

    def by_mask(prefix: Key, scoring: Scoring) -> dict[str, Scores]:
        return {mask: scoring(tally.stack((*prefix, mask))[0][0]) for mask in tally.last_of(prefix)}

    references: Json = {}
    for reference in (LABEL, TRUTH):
        scores = by_mask(("mask", reference, "all", "all"), mask_scores)
        for mask, more in by_mask(("probability", reference), probability_scores).items():
            scores[mask] = {**scores[mask], **more}
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
    notes = [CIRCULARITY, MULTIPLICITY, SST_READING]
    notes.insert(1, SYNTHETIC_TRUTH if TRUTH in references else NO_TRUTH)
    if settings.get("scenes_also_trained_on"):
        notes.append(SEEN_BEFORE)
    if len(scenes) < FEWEST_SCENES:
        notes.insert(
            0,
            f"Intervals from {len(scenes)} scenes are uninformative (fewer than {FEWEST_SCENES}): "
            "they show no more than how the scenes differ, and no claim is made from them.",
        )
    unscreened = sum(not any(BAYESIAN in key for key in scene.sums) for scene in scenes)
    if not (settings.get("training_scenes") or settings.get("bayesian_screen")):
        notes.append(NO_SCREEN)
    elif unscreened:
        notes.append(
            f"{unscreened} scenes have pixels of a time of day that the Bayesian screen was not "
            "fitted to: they lack its masks."
        )
    unknown = sum(not scene.surface_known for scene in scenes)
    if unknown:
        notes.append(
            f"The surface of {unknown} scenes is not known: their SST statistics include land and "
            "ice, and the screens treat all of it alike."
        )
    return notes


def _claims(report: Json, scenes: int) -> list[str]:
    """Differences larger than their interval, one sentence each; nothing of the rest."""
    if scenes < FEWEST_SCENES:
        return [f"With {scenes} scenes no difference can be claimed; take {FEWEST_SCENES} or more."]
    evidence = {f"against {name}": part for name, part in report["references"].items()}
    evidence = {name: part for name, part in evidence.items() if TRUTH in name}
    evidence["SST consistency"] = report["sst"]
    claims = []
    for source, part in evidence.items():
        names = CLAIMED["sst" if source.startswith("SST") else TRUTH]
        for mask, scores in part["differences"].items():
            claims += [
                f"{source}: {score} of the network differs from that of {mask} by "
                f"{found.value:+.4f} ({found.low:+.4f} to {found.high:+.4f})"
                for score, found in scores.items()
                if score in names and found.differs_from_zero
            ]
    return claims or ["No difference is larger than its interval: no claim is made."]


def _plain(value: Any) -> Any:
    """The same in JSON's own types; what is not defined becomes None."""
    if isinstance(value, Estimate):
        parts = {"value": value.value, "low": value.low, "high": value.high}
        return {**_plain(parts), "scenes": value.scenes}
    if isinstance(value, Mapping):
        return {str(key): _plain(part) for key, part in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(part) for part in value]
    if value is None or isinstance(value, (str, bool, int)):
        return value
    number = float(value)
    return round(number, DECIMALS) if math.isfinite(number) else None
