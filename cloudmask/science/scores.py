"""Scores of cloud masks and cloud probabilities, made from sums over pixels.

Sums are arrays (..., k) that are added over scenes, so that many scenes or many bootstrap samples
are scored at once. An undefined score (a ratio without cases) is NaN.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cloudmask.model.loss import PROBABILITY_FLOOR
from cloudmask.science.pixel_features import Mask

Sums = NDArray[np.float64]
Scores = dict[str, Sums]
ScoreFunction = Callable[[Sums], Scores]

RELIABILITY_BINS = 10


def confusion_counts_by_class(
    mask: Mask, reference: Mask, classes: NDArray[np.integer[Any]], number: int
) -> Sums:
    """Confusion counts (number, 4) of the classes 0 to `number` - 1: TN, FN, FP, TP.

    All three arrays are (pixels,); cloud is positive.
    """
    code = classes.astype(np.int64) * 4 + mask * 2 + reference
    return np.bincount(code, minlength=4 * number).reshape(number, 4).astype(np.float64)


def confusion_counts(mask: Mask, reference: Mask) -> Sums:
    """Confusion counts (4,) of two masks (pixels,): TN, FN, FP, TP."""
    counts: Sums = confusion_counts_by_class(mask, reference, np.zeros(mask.shape, np.uint8), 1)[0]
    return counts


def mask_scores(counts: Sums) -> Scores:
    """Scores of confusion counts (..., 4) by name, each (...)."""
    tn, fn, fp, tp = np.moveaxis(counts, -1, 0)
    recall = ratio(tp, tp + fn)
    return {
        "accuracy": ratio(tp + tn, tp + tn + fp + fn),
        "balanced_accuracy": (recall + ratio(tn, tn + fp)) / 2,
        "precision": ratio(tp, tp + fp),
        "recall": recall,
        "f1": ratio(2 * tp, 2 * tp + fp + fn),
        "iou": ratio(tp, tp + fp + fn),
    }


def agreement_scores(counts: Sums) -> Scores:
    """Agreement of two masks from confusion counts (..., 4): share of pixels, Cohen's kappa."""
    tn, fn, fp, tp = np.moveaxis(counts, -1, 0)
    pixels = tn + fn + fp + tp
    agreement = ratio(tn + tp, pixels)
    chance = ratio((tp + fp) * (tp + fn) + (tn + fp) * (tn + fn), pixels**2)
    return {"agreement": agreement, "kappa": ratio(agreement - chance, 1 - chance)}


def probability_sums(
    probability: NDArray[np.float32], reference: Mask, positive_weight: float = 1.0
) -> Sums:
    """Sums (2 + 3 x RELIABILITY_BINS,) of cloud probabilities (pixels,) against a reference.

    Squared errors; WBCE as in `model.loss`; then for each bin of probability the number of pixels,
    the sum of their probabilities, and the number of cloudy pixels.
    """
    p = probability.astype(np.float64)
    clipped = np.clip(p, PROBABILITY_FLOOR, 1 - PROBABILITY_FLOOR)
    loss = -np.where(reference, positive_weight * np.log(clipped), np.log1p(-clipped)).sum()
    bins = np.minimum((p * RELIABILITY_BINS).astype(np.int64), RELIABILITY_BINS - 1)
    sums = [np.bincount(bins, weights, RELIABILITY_BINS) for weights in (None, p, reference)]
    return np.concatenate([[((p - reference) ** 2).sum(), loss], *sums])


def probability_scores(sums: Sums) -> Scores:
    """Brier score, WBCE and expected calibration error of `probability_sums` (..., k)."""
    number, probability, cloudy = _by_bin(sums)
    pixels = number.sum(axis=-1)
    return {
        "brier": ratio(sums[..., 0], pixels),
        "wbce": ratio(sums[..., 1], pixels),
        "calibration_error": ratio(np.abs(probability - cloudy).sum(axis=-1), pixels),
    }


def reliability_diagram(sums: Sums) -> list[dict[str, float]]:
    """Range, pixels, mean probability and cloudy share of each bin of `probability_sums` (k,)."""
    number, probability, cloudy = _by_bin(sums)
    return [
        {
            "from": index / RELIABILITY_BINS,
            "to": (index + 1) / RELIABILITY_BINS,
            "pixels": float(number[index]),
            "mean_probability": float(ratio(probability[index], number[index])),
            "cloudy_share": float(ratio(cloudy[index], number[index])),
        }
        for index in range(RELIABILITY_BINS)
    ]


def ratio(part: Sums, whole: Sums) -> Sums:
    """`part` / `whole`, NaN where `whole` is 0."""
    with np.errstate(invalid="ignore", divide="ignore"):
        quotient: Sums = np.where(whole > 0, np.divide(part, whole), np.nan)
    return quotient


def _by_bin(sums: Sums) -> Sums:
    return np.moveaxis(sums[..., 2:].reshape(*sums.shape[:-1], 3, RELIABILITY_BINS), -2, 0)
