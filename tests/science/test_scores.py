"""Scores from sums against those of scikit-learn from pixels, and by hand."""

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


def test_bins_of_reliability_are_tenths_that_include_their_lower_end():
    probability = np.array([0, 0.0999, 0.1001, 0.5, 0.8999, 0.9001, 1])
    rows = reliability_diagram(probability_sums(probability, probability > 0.3))
    assert [row["pixels"] for row in rows] == [2, 1, 0, 0, 0, 1, 0, 0, 1, 2]
    assert [row["from"] for row in rows] == pytest.approx([n / 10 for n in range(10)])
    assert [row["to"] for row in rows] == pytest.approx([n / 10 for n in range(1, 11)])
    assert rows[9]["mean_probability"] == pytest.approx(0.95005)
    assert rows[9]["cloudy_share"] == 1
    assert np.isnan(rows[2]["cloudy_share"])


def test_wbce_of_a_sure_error_is_that_of_the_clipped_probability():
    """-ln(1e-7) is 16.118; the weight applies to cloudy pixels alone."""
    missed = probability_sums(np.float32([0]), np.array([True]), positive_weight=0.5)
    false_alarm = probability_sums(np.float32([1]), np.array([False]), positive_weight=0.5)
    assert probability_scores(missed)["wbce"] == pytest.approx(16.118 / 2, abs=1e-3)
    assert probability_scores(false_alarm)["wbce"] == pytest.approx(16.118, abs=1e-3)
    assert probability_scores(missed + false_alarm)["brier"] == 1


def test_scores_of_confusion_counts_by_hand():
    scores = mask_scores(np.array([50.0, 10, 20, 40]))  # TN, FN, FP, TP
    assert scores == {
        "accuracy": pytest.approx(90 / 120),
        "balanced_accuracy": pytest.approx((40 / 50 + 50 / 70) / 2),
        "precision": pytest.approx(40 / 60),
        "recall": pytest.approx(40 / 50),
        "f1": pytest.approx(80 / 110),
        "iou": pytest.approx(40 / 70),
    }
    agreement = agreement_scores(np.array([50.0, 10, 20, 40]))
    chance = (60 * 50 + 60 * 70) / 120**2
    assert agreement["agreement"] == pytest.approx(0.75)
    assert agreement["kappa"] == pytest.approx((0.75 - chance) / (1 - chance))


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
