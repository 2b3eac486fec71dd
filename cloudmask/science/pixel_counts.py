"""What is kept of a scene's pixels: sums that add up over scenes, and the scores made of them.

Sums are arrays (..., k), so that many scenes, or many resamplings of them, are scored at once. A
score that is not defined (a ratio without cases) is NaN.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cloudmask.model.loss import PROBABILITY_FLOOR

Sums = NDArray[np.float64]
Scores = dict[str, Sums]
Scoring = Callable[[Sums], Scores]
Mask = NDArray[np.bool_]

RELIABILITY_BINS = 10


def count_classes(
    mask: Mask, reference: Mask, classes: NDArray[np.integer[Any]], number: int
) -> Sums:
    """Confusion counts (number, 4) of each class 0 to `number` - 1: TN, FN, FP, TP.

    All three arrays hold one entry a pixel; cloud is positive.
    """
    code = classes.astype(np.int64) * 4 + mask * 2 + reference
    return np.bincount(code, minlength=4 * number).reshape(number, 4).astype(np.float64)


def count(mask: Mask, reference: Mask) -> Sums:
    """Confusion counts (4,): TN, FN, FP, TP."""
    counts: Sums = count_classes(mask, reference, np.zeros(mask.shape, np.uint8), 1)[0]
    return counts


def mask_scores(counts: Sums) -> Scores:
    """Scores of confusion counts (..., 4) by name, each (...)."""
    tn, fn, fp, tp = np.moveaxis(counts, -1, 0)
    recall = _ratio(tp, tp + fn)
    return {
        "accuracy": _ratio(tp + tn, tp + tn + fp + fn),
        "balanced_accuracy": (recall + _ratio(tn, tn + fp)) / 2,
        "precision": _ratio(tp, tp + fp),
        "recall": recall,
        "f1": _ratio(2 * tp, 2 * tp + fp + fn),
        "iou": _ratio(tp, tp + fp + fn),
    }


def agreement_scores(counts: Sums) -> Scores:
    """How far two masks agree: share of pixels, and Cohen's kappa, which takes off chance."""
    tn, fn, fp, tp = np.moveaxis(counts, -1, 0)
    pixels = tn + fn + fp + tp
    agreement = _ratio(tn + tp, pixels)
    chance = _ratio((tp + fp) * (tp + fn) + (tn + fp) * (tn + fn), pixels**2)
    return {"agreement": agreement, "kappa": _ratio(agreement - chance, 1 - chance)}


def sum_probabilities(
    probability: NDArray[np.float32], reference: Mask, positive_weight: float = 1.0
) -> Sums:
    """Sums (2 + 3 x bins,) of cloud probabilities (pixels,) against a reference.

    Squared errors, WBCE as in `model.loss`, then for each of the even bins of probability the
    number of pixels, the sum of their probabilities and how many are cloudy.
    """
    p = probability.astype(np.float64)
    clipped = np.clip(p, PROBABILITY_FLOOR, 1 - PROBABILITY_FLOOR)
    loss = -np.where(reference, positive_weight * np.log(clipped), np.log1p(-clipped)).sum()
    bins = np.minimum((p * RELIABILITY_BINS).astype(np.int64), RELIABILITY_BINS - 1)
    sums = [np.bincount(bins, weights, RELIABILITY_BINS) for weights in (None, p, reference)]
    return np.concatenate([[((p - reference) ** 2).sum(), loss], *sums])


def probability_scores(sums: Sums) -> Scores:
    """Brier score, WBCE and expected calibration error of `sum_probabilities`' sums (..., k)."""
    number, probability, cloudy = _reliability(sums)
    pixels = number.sum(axis=-1)
    return {
        "brier": _ratio(sums[..., 0], pixels),
        "wbce": _ratio(sums[..., 1], pixels),
        "calibration_error": _ratio(np.abs(probability - cloudy).sum(axis=-1), pixels),
    }


def reliability(sums: Sums) -> list[dict[str, float]]:
    """Each bin's range, pixels, mean probability and share of cloud; empty bins have NaN."""
    number, probability, cloudy = _reliability(sums)
    return [
        {
            "from": index / RELIABILITY_BINS,
            "to": (index + 1) / RELIABILITY_BINS,
            "pixels": float(number[index]),
            "mean_probability": float(_ratio(probability[index], number[index])),
            "cloudy_share": float(_ratio(cloudy[index], number[index])),
        }
        for index in range(RELIABILITY_BINS)
    ]


def _reliability(sums: Sums) -> tuple[Sums, Sums, Sums]:
    n = RELIABILITY_BINS
    return sums[..., 2 : 2 + n], sums[..., 2 + n : 2 + 2 * n], sums[..., 2 + 2 * n :]


def _ratio(part: Sums, whole: Sums) -> Sums:
    with np.errstate(invalid="ignore", divide="ignore"):
        quotient: Sums = np.where(whole > 0, np.divide(part, whole), np.nan)
    return quotient
