"""SST consistency: which clear pixels are contaminated, judged or neither, by hand."""

import numpy as np
import pytest
from scipy.stats import norm

from cloudmask.science.pixel_features import Classification, PixelFeatures
from cloudmask.science.sst.consistency import BINS, sst_scores, sst_sums
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


def scores_of(features, masks, min_sst=250.0):
    sums = sst_sums(features, masks, min_sst)
    return {name: sst_scores(each) for name, each in sums.items()}


@pytest.mark.parametrize(("colder", "tail"), [(1.9, 0), (2.1, 0.16), (12, 0.16), (40, 0.16)])
def test_cloud_that_every_mask_misses_is_cold_tail_from_2_kelvin_on(colder, tail):
    """It is 16 % of the pixels, so it would cool a background that kept it by a third of 2 K."""
    scores = scores_of(night_sea(colder * squares(8)), {"none": NO_CLOUD}, min_sst=200)["none"]
    assert scores["cold_tail"] == scores["contaminated"] == pytest.approx(tail)
    assert scores["not_judged"] == 0


@pytest.mark.parametrize(("cooling", "first", "last"), [(4, 100, 150), (20, 120, 240)])
def test_a_mask_that_calls_all_clear_is_as_contaminated_as_the_sea_is_cloudy(cooling, first, last):
    """A deck as smooth as the sea, which looks like colder water or is below freezing."""
    deck = np.broadcast_to((first <= COLUMN) & (last > COLUMN), SHAPE)
    scores = scores_of(night_sea(cooling * deck), {"none": NO_CLOUD, "right": deck}, min_sst=273.15)
    assert scores["none"]["contaminated"] == pytest.approx(deck.mean())
    assert (scores["none"]["not_judged"], scores["right"]["contaminated"]) == (0, 0)
    assert (scores["none"]["below_min_sst"] > 0) == (cooling == 20)


def test_a_score_does_not_depend_on_the_other_masks():
    cloud = squares(8)
    features = night_sea(4 * cloud)
    alone = scores_of(features, {"none": NO_CLOUD})["none"]
    beside = scores_of(features, {"none": NO_CLOUD, "all": ~NO_CLOUD, "right": cloud})["none"]
    assert alone == beside
    assert alone["contaminated"] == pytest.approx(0.16)


def test_contaminated_and_not_judged_are_shares_of_the_clear_pixels():
    """Of 10 clear pixels 2 are too cold, 3 have no background, and 1 of the others is a tail."""
    sums = histogram_sums([-3, 0, 0, 0, 1])
    sums[:3] = 20, 10, 2
    scores = sst_scores(sums)
    expected = {"contaminated": 0.3, "not_judged": 0.3, "coverage": 0.5, "cold_tail": 0.2}
    assert {name: scores[name] for name in expected} == pytest.approx(expected)


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
    assert kept["contaminated"] == left_out["contaminated"] == pytest.approx(0.16)
    assert (kept["not_judged"], left_out["not_judged"]) == (0, 0)
    assert left_out["coverage"] == 1


def test_only_valid_pixels_of_sea_are_counted():
    features = night_sea()
    features.surface.values[:50] = 2
    features.channels[:, :60, 8] = np.nan
    clear = {"none": NO_CLOUD}
    assert sst_sums(features, clear, 250)["none"][0] == 150 * 180
    unknown = PixelFeatures(features.channels)
    assert sst_sums(unknown, clear, 250)["none"][0] == 200 * 180


def test_land_and_a_mask_without_clear_pixels_have_undefined_scores():
    land = scores_of(night_sea(surface="land"), {"none": NO_CLOUD})["none"]
    assert np.isnan(list(land.values())).all()
    cloudy = scores_of(night_sea(), {"all": ~NO_CLOUD})["all"]
    assert cloudy.pop("coverage") == 0
    assert np.isnan(list(cloudy.values())).all()
