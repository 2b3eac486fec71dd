"""Pixel metrics against scikit-learn's."""

import numpy as np
import pytest
import torch
from sklearn import metrics as sk

from cloudmask.model.loss import weighted_bce
from cloudmask.model.metrics import PixelMetrics, metrics_from_counts, pixel_counts


@pytest.fixture
def case():
    rng = np.random.default_rng(3)
    return rng.standard_normal((4, 1, 16, 16)).astype(np.float32), rng.random((4, 1, 16, 16)) > 0.7


def test_metrics_agree_with_scikit_learn(case):
    logits, labels = case
    ours = metrics_from_counts(pixel_counts(torch.from_numpy(logits), torch.from_numpy(labels)))
    mask, truth = (logits > 0).ravel(), labels.ravel()
    assert ours.accuracy == pytest.approx(sk.accuracy_score(truth, mask))
    assert ours.precision == pytest.approx(sk.precision_score(truth, mask))
    assert ours.recall == pytest.approx(sk.recall_score(truth, mask))
    assert ours.f1 == pytest.approx(sk.f1_score(truth, mask))
    assert ours.intersection_over_union == pytest.approx(sk.jaccard_score(truth, mask))


def test_counts_of_batches_add_up_to_the_whole(case):
    logits, labels = (torch.from_numpy(part) for part in case)
    parts = sum(pixel_counts(logits[i : i + 1], labels[i : i + 1], 0.5) for i in range(4))
    assert parts[:4].tolist() == pixel_counts(logits, labels)[:4].tolist()
    expected = weighted_bce(logits, labels, 0.5).item()
    assert metrics_from_counts(parts).wbce == pytest.approx(expected)


def test_scores_without_any_cloud_are_zero_not_an_error():
    clear = PixelMetrics(0, 0, 10, 0, wbce=0.1)
    assert (clear.accuracy, clear.precision, clear.recall, clear.f1) == (1, 0, 0, 0)
