"""SST from coefficients by hand, and whether its consistency betrays missed cloud."""

import numpy as np
import pytest

from cloudmask.science.pixel_features import Classification, PixelFeatures
from cloudmask.science.sst.consistency import background_sst, sst_scores, sst_sums
from cloudmask.science.sst.retrieval import sea_surface_temperature

SHAPE = (200, 240)


def night_sea(cloud=None, surface="sea"):
    """Sea with a slow gradient of 4 K and noise; 12 K colder where `cloud`."""
    rng = np.random.default_rng(0)
    s8 = 286 + np.linspace(0, 4, SHAPE[1]) + 0.05 * rng.standard_normal(SHAPE)
    if cloud is not None:
        s8 = s8 - 12 * cloud
    channels = np.zeros((*SHAPE, 9), np.float32)
    channels[..., 6], channels[..., 7], channels[..., 8] = s8 + 0.5, s8, s8 - 1
    return PixelFeatures(channels, Classification(np.ones(SHAPE, np.uint8), {1: surface}))


def squares(side, spacing=20):
    """Cloud in squares of this side, one in each 20 x 20 pixels."""
    cloud = np.zeros(SHAPE, bool)
    for row in range(0, SHAPE[0], spacing):
        for column in range(0, SHAPE[1], spacing):
            cloud[row : row + side, column : column + side] = True
    return cloud


def scores_of(features, masks, min_sst=273.15):
    sums = sst_sums(features, masks, list(masks), min_sst)
    return {name: sst_scores(each) for name, each in sums.items()}


def test_sst_by_day_and_by_night_is_that_of_the_equations():
    channels = np.zeros((2, 1, 9), np.float32)
    channels[:, 0, 6:] = (292, 290, 288.5)
    channels[0, 0, :3] = 0.1  # day
    day, night = sea_surface_temperature(PixelFeatures(channels))[:, 0]
    assert day == pytest.approx(0.963563 * 290 + 2.579211 * 1.5 - 263.006 + 273.15, abs=1e-3)
    assert night == pytest.approx(1.000281 * 290 + 0.911173 * 3.5 - 271.971 + 273.15, abs=1e-3)


def test_background_is_a_mean_of_agreed_pixels_and_ends_where_there_are_none():
    sst = np.full(SHAPE, 290, np.float32)
    agreed = np.zeros(SHAPE, bool)
    agreed[:, :60] = True
    background = background_sst(np.where(agreed, sst, 250), agreed)
    np.testing.assert_allclose(background[:, :60], 290, atol=0.01)
    assert np.isnan(background[:, 160:]).all()


def test_cold_tail_grows_with_the_cloud_that_is_let_through():
    cloud = squares(8)
    half = cloud & (np.arange(SHAPE[0])[:, None] < SHAPE[0] // 2)
    clear = np.zeros(SHAPE, bool)
    scores = scores_of(night_sea(cloud), {"right": cloud, "half": half, "none": clear})
    assert scores["right"]["cold_tail"] == 0
    assert scores["half"]["cold_tail"] == pytest.approx(3840 / (48000 - 3840), rel=0.01)
    assert scores["none"]["cold_tail"] == pytest.approx(7680 / 48000, rel=0.01)
    assert scores["right"]["coverage"] == pytest.approx(1 - 0.16)
    assert scores["none"]["coverage"] == 1


def test_cloud_that_all_masks_miss_does_not_hide_in_the_background():
    scores = scores_of(night_sea(squares(8)), {"none": np.zeros(SHAPE, bool)})
    assert scores["none"]["cold_tail"] == pytest.approx(0.16, rel=0.01)


def test_robust_deviation_is_that_of_the_noise():
    features = night_sea()
    scores = scores_of(features, {"none": np.zeros(SHAPE, bool)})
    inside = (slice(60, -60), slice(60, -60))
    sst = sea_surface_temperature(features)[inside]
    noise = (sst - sst.mean(axis=0)).std()
    deviation = scores["none"]["robust_deviation_kelvin"]
    assert noise < deviation < 4 * noise


def test_pixels_too_cold_for_water_are_counted_apart():
    cloud = squares(8)
    scores = scores_of(night_sea(cloud), {"none": np.zeros(SHAPE, bool)}, min_sst=285.0)
    assert scores["none"]["below_min_sst"] == pytest.approx(0.16, abs=0.001)
    assert scores["none"]["cold_tail"] == 0


def test_land_has_no_part_and_a_mask_without_clear_sky_no_score():
    land = scores_of(night_sea(surface="land"), {"none": np.zeros(SHAPE, bool)})
    assert np.isnan(land["none"]["coverage"])
    full = scores_of(night_sea(), {"all": np.ones(SHAPE, bool)})
    assert full["all"]["coverage"] == 0
    assert np.isnan(full["all"]["cold_tail"])
    assert np.isnan(full["all"]["robust_deviation_kelvin"])
