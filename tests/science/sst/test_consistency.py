"""SST consistency: its background, its cold tail, and whether they reveal missed cloud."""

import numpy as np
import pytest
from scipy.stats import norm

from cloudmask.science.pixel_features import Classification, PixelFeatures
from cloudmask.science.sst.consistency import BINS, background_sst, sst_scores, sst_sums
from cloudmask.science.sst.retrieval import sea_surface_temperature

SHAPE = (200, 240)
NO_CLOUD = np.zeros(SHAPE, bool)
COLUMN = np.arange(SHAPE[1])


def night_sea(cooling=0.0, surface="sea"):
    """Sea of 290 K by night; `cooling` is subtracted from all channels."""
    channels = np.zeros((*SHAPE, 9), np.float32)
    channels[..., 6:] = np.array([288.0, 287.5, 286.5]) - np.broadcast_to(cooling, SHAPE)[..., None]
    return PixelFeatures(channels, Classification(np.ones(SHAPE, np.uint8), {1: surface}))


def squares(side):
    """Squares of this side, one in each 20 x 20 pixels."""
    inside = [np.arange(length) % 20 < side for length in SHAPE]
    return inside[0][:, None] & inside[1]


def scores_of(features, masks, min_sst=250.0, judges=None):
    sums = sst_sums(features, masks, judges or list(masks), min_sst)
    return {name: sst_scores(each) for name, each in sums.items()}


def background_of(sst, clear=~NO_CLOUD):
    return background_sst(np.broadcast_to(sst, SHAPE).astype(np.float32), clear)


@pytest.mark.parametrize(("colder", "tail"), [(1.9, 0), (2.1, 0.16), (12, 0.16), (40, 0.16)])
def test_cloud_that_every_mask_misses_is_cold_tail_from_2_kelvin_on(colder, tail):
    """It is 16 % of the pixels, so it would cool a background that kept it by a third of 2 K."""
    scores = scores_of(night_sea(colder * squares(8)), {"none": NO_CLOUD}, min_sst=200)["none"]
    assert scores["cold_tail"] == pytest.approx(tail)
    assert scores["judged"] == 1


@pytest.mark.parametrize(("colder", "kept"), [(0.9, True), (1.1, False)])
def test_background_leaves_out_pixels_more_than_1_kelvin_below_a_first_one(colder, kept):
    sst = np.full(SHAPE, 290.0)
    sst[98:103, 118:123] -= colder
    middle = background_of(sst)[100, 120]
    assert (middle < 290 - 0.005) == kept
    assert middle == pytest.approx(290, abs=0.02 if kept else 1e-4)


def test_background_is_a_gaussian_mean_of_20_km():
    background = background_of(290 + (COLUMN >= 120))
    expected = 290 + norm.cdf(COLUMN + 0.5 - 120, scale=20)
    np.testing.assert_allclose(background, np.broadcast_to(expected, SHAPE), atol=0.002)


def test_background_needs_a_twentieth_of_its_weight_on_clear_pixels():
    """The share of weight left of column 100 is the normal distribution's: 0.052, then 0.047."""
    clear = np.broadcast_to(COLUMN < 100, SHAPE)
    middle = background_of(np.where(clear, 290, 250), clear)[100]
    np.testing.assert_allclose(middle[:133], 290, atol=1e-3)
    assert np.isnan(middle[133:]).all()


def test_background_is_that_of_the_pixels_that_all_judges_call_clear():
    cloud = squares(8)
    masks = {"right": cloud, "all cloud": ~NO_CLOUD, "none": NO_CLOUD}
    features = night_sea(0.9 * cloud)
    scores = scores_of(features, masks, judges=["right", "none"])
    assert scores["none"]["judged"] == 1
    assert scores["right"]["robust_deviation_kelvin"] == pytest.approx(0, abs=0.05)
    assert scores_of(features, masks)["none"]["judged"] == 0


def test_cold_tail_grows_with_the_cloud_that_a_mask_misses():
    cloud = squares(8)
    half = cloud & (np.arange(SHAPE[0])[:, None] < SHAPE[0] // 2)
    scores = scores_of(night_sea(12 * cloud), {"right": cloud, "half": half, "none": NO_CLOUD})
    assert scores["right"]["cold_tail"] == 0
    assert scores["half"]["cold_tail"] == pytest.approx(3840 / (48000 - 3840))
    assert scores["none"]["cold_tail"] == pytest.approx(7680 / 48000)
    assert [scores[name]["coverage"] for name in scores] == pytest.approx([0.84, 0.92, 1])


def histogram_sums(anomalies):
    """Sums of so many clear pixels of as many, with these anomalies."""
    edges = np.linspace(-15, 15, BINS + 1)
    counts = np.histogram(anomalies, edges)[0]
    return np.concatenate([[len(anomalies), len(anomalies), 0], counts])


def test_cold_tail_begins_2_kelvin_below_the_background():
    scores = sst_scores(histogram_sums([-14, -2.01, -1.99, 0, 3]))
    assert scores["cold_tail"] == pytest.approx(2 / 5)


def test_robust_deviation_is_the_standard_deviation_of_normal_anomalies():
    anomalies = norm.ppf((np.arange(10_000) + 0.5) / 10_000, loc=1, scale=0.7)
    wild = np.full(100, 14.0)
    for values in (anomalies, np.concatenate([anomalies, wild])):
        deviation = sst_scores(histogram_sums(values))["robust_deviation_kelvin"]
        assert deviation == pytest.approx(0.7, abs=0.02)


def test_scores_of_many_sums_are_those_of_each():
    sums = np.stack([histogram_sums(values) for values in ([-3, 0], [0, 1, 2], [-4, -5], [])])
    together = sst_scores(sums)
    for number, each in enumerate(sums):
        for name, score in sst_scores(each).items():
            np.testing.assert_array_equal(together[name][number], score)


def test_robust_deviation_is_1_4826_median_absolute_deviations_in_the_middles_of_bins():
    """Anomalies 0, 1, 2, 4 and 8: the median is 2, the absolute deviations 0, 1, 2, 2 and 6."""
    scores = sst_scores(histogram_sums(np.array([0, 1, 2, 4, 8]) + 0.025))
    assert scores["robust_deviation_kelvin"] == pytest.approx(1.4826 * 2, abs=1e-6)


def test_pixels_colder_than_the_minimum_sst_are_left_out_of_the_cold_tail():
    cloud = squares(8)
    features = night_sea(12 * cloud)
    coldest = float(sea_surface_temperature(features).min())
    warmer = np.nextafter(np.float32(coldest), np.float32(300))
    kept = scores_of(features, {"none": NO_CLOUD}, min_sst=coldest)["none"]
    left_out = scores_of(features, {"none": NO_CLOUD}, min_sst=warmer)["none"]
    assert (kept["below_min_sst"], left_out["below_min_sst"]) == (0, pytest.approx(0.16))
    assert (kept["cold_tail"], left_out["cold_tail"]) == (pytest.approx(0.16), 0)
    assert left_out["judged"] == pytest.approx(0.84)
    assert left_out["coverage"] == 1


def test_only_valid_pixels_of_sea_are_counted():
    features = night_sea()
    features.surface.values[:50] = 2
    features.channels[:, :60, 8] = np.nan
    clear = {"none": NO_CLOUD}
    assert sst_sums(features, clear, ["none"], 250)["none"][0] == 150 * 180
    unknown = PixelFeatures(features.channels)
    assert sst_sums(unknown, clear, ["none"], 250)["none"][0] == 200 * 180


def test_land_and_a_mask_without_clear_pixels_have_undefined_scores():
    land = scores_of(night_sea(surface="land"), {"none": NO_CLOUD})["none"]
    assert np.isnan(list(land.values())).all()
    cloudy = scores_of(night_sea(), {"all": ~NO_CLOUD})["all"]
    assert cloudy.pop("coverage") == 0
    assert np.isnan(list(cloudy.values())).all()
