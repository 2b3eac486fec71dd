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


def test_a_logit_of_exactly_zero_is_called_clear():
    logits, labels = torch.tensor([0.0, 0.0, 1e-30, -1e-30]), torch.tensor([0, 1, 1, 0])
    assert pixel_counts(logits, labels)[:4].tolist() == [1, 0, 2, 1]


def test_counts_are_in_float64_whatever_the_logits_are_in():
    for dtype in (torch.float16, torch.bfloat16, torch.float32):
        assert pixel_counts(torch.ones(3, dtype=dtype), torch.ones(3)).dtype == torch.float64


def test_labels_of_any_type_above_zero_are_cloud():
    for dtype in (torch.bool, torch.uint8, torch.float32):
        labels = torch.tensor([0, 1]).to(dtype)
        assert pixel_counts(torch.tensor([1.0, 1.0]), labels)[:4].tolist() == [1, 1, 0, 0]


def test_logs_get_every_metric_rounded_to_six_decimals():
    assert PixelMetrics(2, 1, 3, 1, wbce=0.12345678).as_dict() == {
        "accuracy": 0.714286,
        "precision": 0.666667,
        "recall": 0.666667,
        "f1": 0.666667,
        "intersection_over_union": 0.5,
        "wbce": 0.123457,
        "pixels": 7,
    }


def test_ratios_without_cases_are_zero():
    clear = PixelMetrics(0, 0, 10, 0, wbce=0.1)
    assert (clear.accuracy, clear.precision, clear.recall, clear.f1) == (1, 0, 0, 0)
    assert clear.intersection_over_union == 0
    assert metrics_from_counts(torch.zeros(5)).as_dict()["accuracy"] == 0
