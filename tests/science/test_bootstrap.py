"""Intervals over scenes: against scipy's bootstrap, and whether they cover."""

import numpy as np
import pytest
from scipy import stats

from cloudmask.science.bootstrap import (
    Estimate,
    bootstrap_weights,
    estimates,
    paired_differences,
)
from cloudmask.science.scores import mask_scores


def scenes_of(rng, number, accuracy, spread=0.05, pixels=1000):
    """Counts (TN, FN, FP, TP) of scenes whose accuracy varies around a mean."""
    right = np.round(pixels * np.clip(rng.normal(accuracy, spread, number), 0, 1))
    return np.stack([right / 2, (pixels - right) / 2, (pixels - right) / 2, right / 2], axis=1)


def total(sums):
    """A score that is linear in the sums."""
    return {"total": sums[..., 0]}


def test_2000_bootstrap_samples_draw_as_many_scenes_as_there_are():
    weights = bootstrap_weights(7)
    assert weights.shape == (2000, 7)
    assert (weights.sum(axis=1) == 7).all()
    assert len(np.unique(weights, axis=0)) > 500
    np.testing.assert_allclose(weights.mean(axis=0), 1, atol=0.1)
    np.testing.assert_allclose(weights.var(axis=0), 6 / 7, atol=0.1)


def test_interval_is_that_of_the_percentiles_2_5_and_97_5():
    sums = np.arange(12.0)[:, None] ** 2
    found = estimates(total, sums)["total"]
    low, high = np.percentile(bootstrap_weights(12) @ sums[:, 0], [2.5, 97.5])
    assert (found.value, found.low, found.high) == pytest.approx((506, low, high))
    assert found.scenes == 12


def test_paired_difference_of_a_constant_has_an_interval_without_width():
    sums = 100 * np.random.default_rng(0).random((20, 1))
    found = paired_differences(total, sums + 3, sums)["total"]
    assert (found.value, found.low, found.high) == pytest.approx((60, 60, 60))


@pytest.mark.parametrize(
    ("low", "high", "scenes", "differs"),
    [
        (0.1, 0.3, 10, True),
        (-0.3, -0.1, 10, True),
        (0.0, 0.3, 10, False),
        (-0.3, 0.0, 10, False),
        (-0.1, 0.3, 10, False),
        (0.1, 0.3, 9, False),
        (np.nan, np.nan, 10, False),
    ],
)
def test_difference_is_significant_if_ten_scenes_exclude_zero(low, high, scenes, differs):
    assert Estimate(0.2, low, high, scenes).differs_from_zero == differs


def test_interval_agrees_with_the_bootstrap_of_scipy():
    sums = scenes_of(np.random.default_rng(0), 40, 0.8)
    found = estimates(mask_scores, sums)["accuracy"]
    share = (sums[:, 0] + sums[:, 3]) / 1000
    expected = stats.bootstrap((share,), np.mean, n_resamples=5000, method="percentile")
    assert found.value == pytest.approx(share.mean())
    assert found.low == pytest.approx(expected.confidence_interval.low, abs=0.003)
    assert found.high == pytest.approx(expected.confidence_interval.high, abs=0.003)


def test_intervals_cover_the_true_score_about_as_often_as_they_say():
    rng = np.random.default_rng(1)
    found = [estimates(mask_scores, scenes_of(rng, 30, 0.8))["accuracy"] for _ in range(300)]
    covered = np.mean([each.low <= 0.8 <= each.high for each in found])
    assert 0.88 < covered < 0.99


def test_pairing_sees_a_small_difference_that_scenes_of_all_kinds_hide():
    rng = np.random.default_rng(2)
    sums = scenes_of(rng, 30, 0.8, spread=0.1)
    worse = sums + np.array([-5, 5, 5, -5])
    own, other = (estimates(mask_scores, each)["accuracy"] for each in (sums, worse))
    difference = paired_differences(mask_scores, sums, worse)["accuracy"]
    assert own.low < other.high
    assert difference.value == pytest.approx(0.01)
    assert difference.differs_from_zero


def test_equal_masks_do_not_differ():
    sums = scenes_of(np.random.default_rng(3), 30, 0.8)
    assert not paired_differences(mask_scores, sums, sums)["accuracy"].differs_from_zero


@pytest.mark.parametrize("number", [1, 2, 9])
def test_few_scenes_support_no_claim(number):
    sums = scenes_of(np.random.default_rng(4), number, 0.9)
    worse = sums + np.array([-50, 50, 50, -50])
    difference = paired_differences(mask_scores, sums, worse)["accuracy"]
    assert difference.value == pytest.approx(0.1)
    assert not difference.differs_from_zero
    assert np.isnan(difference.low) == (number == 1)


def test_score_that_most_resamplings_lack_has_no_interval():
    sums = np.zeros((12, 4))
    sums[:, 0] = 100
    sums[0, 3] = 10  # the only scene with cloud: a third of the resamplings miss it
    found = estimates(mask_scores, sums)
    assert found["recall"].value == 1
    assert np.isnan(found["recall"].low)
    assert found["accuracy"].low == 1
