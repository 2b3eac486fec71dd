"""Pixel metrics from a confusion matrix, whose counts can be summed over batches and ranks."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from cloudmask.model.loss import weighted_bce


@dataclass(frozen=True)
class PixelMetrics:
    """Metrics of a cloud mask against a label; 'positive' means cloud. 0 / 0 counts as 0.

    Attributes:
        true_positives, false_positives, true_negatives, false_negatives: numbers of pixels.
        wbce: mean weighted binary cross entropy of a pixel.
    """

    true_positives: float
    false_positives: float
    true_negatives: float
    false_negatives: float
    wbce: float

    @property
    def pixels(self) -> float:
        """Number of pixels."""
        return (
            self.true_positives + self.false_positives + self.true_negatives + self.false_negatives
        )

    @property
    def accuracy(self) -> float:
        """Share of pixels on which mask and label agree."""
        return _ratio(self.true_positives + self.true_negatives, self.pixels)

    @property
    def precision(self) -> float:
        """Share of the pixels called cloud that are cloud."""
        return _ratio(self.true_positives, self.true_positives + self.false_positives)

    @property
    def recall(self) -> float:
        """Share of the cloudy pixels that are called cloud."""
        return _ratio(self.true_positives, self.true_positives + self.false_negatives)

    @property
    def f1(self) -> float:
        """Harmonic mean of precision and recall."""
        errors = self.false_positives + self.false_negatives
        return _ratio(2 * self.true_positives, 2 * self.true_positives + errors)

    @property
    def intersection_over_union(self) -> float:
        """Pixels that are cloud in both over pixels that are cloud in either."""
        errors = self.false_positives + self.false_negatives
        return _ratio(self.true_positives, self.true_positives + errors)

    def as_dict(self) -> dict[str, float]:
        """The metrics by name, rounded to six decimals, and the number of pixels, for logs."""
        names = ("accuracy", "precision", "recall", "f1", "intersection_over_union", "wbce")
        scores = {name: round(getattr(self, name), 6) for name in names}
        return {**scores, "pixels": int(self.pixels)}


def pixel_counts(logits: Tensor, labels: Tensor, positive_weight: float = 1.0) -> Tensor:
    """TP, FP, TN, FN and the sum of WBCE over the pixels: (5,) float64 on the logits' device.

    A pixel is called cloud if its probability is above 0.5, that is if its logit is above 0. Sum
    the counts of batches and ranks before passing them to `metrics_from_counts`.
    """
    called = logits > 0
    cloudy = labels > 0
    loss_sum = weighted_bce(logits, labels, positive_weight).double() * labels.numel()
    counts = [called & cloudy, called & ~cloudy, ~called & ~cloudy, ~called & cloudy]
    return torch.stack([*(count.sum().double() for count in counts), loss_sum])


def metrics_from_counts(counts: Tensor) -> PixelMetrics:
    """Metrics from the counts of `pixel_counts`; synchronises with their device."""
    tp, fp, tn, fn, loss_sum = counts.tolist()
    return PixelMetrics(tp, fp, tn, fn, wbce=_ratio(loss_sum, tp + fp + tn + fn))


def _ratio(part: float, whole: float) -> float:
    return part / whole if whole else 0.0
