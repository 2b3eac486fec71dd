"""Scores from counts against scikit-learn's from pixels."""

import numpy as np
import pytest
import torch
from sklearn import metrics
from sklearn.calibration import calibration_curve

from cloudmask.model.loss import weighted_bce
from cloudmask.science.scores import (
    agreement_scores,
    confusion_counts,
    confusion_counts_by_class,
    mask_scores,
    probability_scores,
    probability_sums,
    reliability_diagram,
)


@pytest.fixture
def pixels():
    rng = np.random.default_rng(5)
    reference = rng.random(5000) < 0.6
    probability = np.clip(0.5 * reference + rng.random(5000) * 0.6 - 0.05, 0, 1).astype(np.float32)
    return probability, reference


def test_mask_scores_equal_those_of_scikit_learn(pixels):
    probability, reference = pixels
    mask = probability > 0.5
    scores = mask_scores(confusion_counts(mask, reference))
    expected = {
        "accuracy": metrics.accuracy_score,
        "balanced_accuracy": metrics.balanced_accuracy_score,
        "precision": metrics.precision_score,
        "recall": metrics.recall_score,
        "f1": metrics.f1_score,
        "iou": metrics.jaccard_score,
    }
    assert scores == {
        name: pytest.approx(score(reference, mask)) for name, score in expected.items()
    }


def test_kappa_equals_that_of_scikit_learn(pixels):
    probability, reference = pixels
    mask = probability > 0.7
    scores = agreement_scores(confusion_counts(mask, reference))
    assert scores["kappa"] == pytest.approx(metrics.cohen_kappa_score(mask, reference))
    assert scores["agreement"] == pytest.approx((mask == reference).mean())


def test_probability_scores_equal_those_of_scikit_learn_and_of_the_loss(pixels):
    probability, reference = pixels
    scores = probability_scores(probability_sums(probability, reference, 0.5))
    assert scores["brier"] == pytest.approx(metrics.brier_score_loss(reference, probability))
    logits = torch.logit(torch.from_numpy(probability).double(), eps=1e-7)
    loss = weighted_bce(logits, torch.from_numpy(reference), positive_weight=0.5)
    assert scores["wbce"] == pytest.approx(float(loss), rel=1e-5)


def test_reliability_equals_the_calibration_curve_of_scikit_learn(pixels):
    probability, reference = pixels
    sums = probability_sums(probability, reference)
    rows = [row for row in reliability_diagram(sums) if row["pixels"]]
    shares, means = calibration_curve(reference, probability, n_bins=10)
    assert [row["cloudy_share"] for row in rows] == pytest.approx(list(shares))
    assert [row["mean_probability"] for row in rows] == pytest.approx(list(means), rel=1e-5)
    weights = np.array([row["pixels"] for row in rows]) / len(reference)
    expected = np.abs(shares - means) @ weights
    assert probability_scores(sums)["calibration_error"] == pytest.approx(expected, rel=1e-5)


def test_classes_add_up_to_the_whole(pixels):
    probability, reference = pixels
    mask, classes = probability > 0.5, np.arange(5000) % 3
    counts = confusion_counts_by_class(mask, reference, classes, 4)
    assert (counts.sum(axis=0) == confusion_counts(mask, reference)).all()
    assert (counts[1] == confusion_counts(mask[1::3], reference[1::3])).all()
    assert not counts[3].any()


def test_what_is_not_defined_is_nan():
    clear = np.zeros(10, bool)
    scores = mask_scores(confusion_counts(clear, clear))
    assert scores["accuracy"] == 1
    for name in ("balanced_accuracy", "precision", "recall", "f1", "iou"):
        assert np.isnan(scores[name])
    assert np.isnan(agreement_scores(confusion_counts(clear, clear))["kappa"])
    assert np.isnan(mask_scores(np.zeros(4))["accuracy"])
