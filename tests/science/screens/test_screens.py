"""Threshold and Bayesian screens: single tests by hand, skill on scenes with a truth."""

import numpy as np
import pytest

from cloudmask.errors import InputError
from cloudmask.scenes.hdf5_scene import read_mask
from cloudmask.scenes.layout import list_scenes
from cloudmask.science.pixel_features import Classification, PixelFeatures, read_pixel_features
from cloudmask.science.scores import confusion_counts, mask_scores
from cloudmask.science.screens.bayesian import (
    BayesianScreen,
    ScreenTraining,
    load_screen,
    save_screen,
)
from cloudmask.science.screens.threshold import TESTS, threshold_flags

SHAPE = (60, 80)
CLEAR_SEA_DAY = (0.09, 0.05, 0.025, 0.01, 0.01, 0.005, 289.5, 288.0, 287.0)
CLEAR_SEA_NIGHT = (0, 0, 0, 0, 0, 0, 288.5, 288.0, 287.0)


def scene(pixel, patch=None, sea=True):
    """A scene of one kind of pixel with a square of 20 x 20 others in its middle."""
    channels = np.full((*SHAPE, 9), pixel, np.float32)
    if patch is not None:
        channels[20:40, 30:50] = patch
    surface = Classification(np.ones(SHAPE, np.uint8), {1: "sea" if sea else "land"})
    return PixelFeatures(channels, surface)


def found_in_patch(features):
    """Names of the tests that fire in the middle of the patch."""
    flags = threshold_flags(features)[30, 40]
    return {test.__name__ for bit, test in enumerate(TESTS) if flags >> bit & 1}


@pytest.mark.parametrize("pixel", [CLEAR_SEA_DAY, CLEAR_SEA_NIGHT])
def test_clear_sea_passes_every_test(pixel):
    assert not threshold_flags(scene(pixel)).any()


@pytest.mark.parametrize(
    ("pixel", "patch", "expected"),
    [
        (CLEAR_SEA_NIGHT, (0,) * 6 + (241, 240, 239.8), "gross_cloud_12"),
        (CLEAR_SEA_NIGHT, (0,) * 6 + (284.5, 284, 280), "thin_cirrus_11_12"),
        (CLEAR_SEA_NIGHT, (0,) * 6 + (284, 287, 286.2), "fog_low_stratus_11_37"),
        (CLEAR_SEA_NIGHT, (0,) * 6 + (287, 284, 283), "medium_high_37_12"),
        (CLEAR_SEA_DAY, (0.6,) * 3 + (0.01, 0.5, 0.4, 310, 285, 284), "sunlit_droplets_37_11"),
        (CLEAR_SEA_DAY, (0.6,) * 3 + (0.01, 0.5, 0.4, 310, 285, 284), "visible"),
        (CLEAR_SEA_DAY, (0.6,) * 3 + (0.01, 0.5, 0.4, 310, 285, 284), "near_infrared_1600"),
        (CLEAR_SEA_DAY, (0.1, 0.06, 0.03, 0.1, 0.03, 0.01, 289, 287, 286), "cirrus_1375"),
    ],
)
def test_each_test_finds_its_kind_of_cloud(pixel, patch, expected):
    assert expected in found_in_patch(scene(pixel, patch))


def test_rough_sea_of_temperature_is_not_coherent():
    channels = scene(CLEAR_SEA_NIGHT).channels.copy()
    channels[::2, ::2, 7] -= 1
    flags = threshold_flags(PixelFeatures(channels, scene(CLEAR_SEA_NIGHT).surface))
    bit = [test.__name__ for test in TESTS].index("spatial_coherence_11")
    assert (flags >> bit & 1)[5:-5, 5:-5].all()


def test_snow_is_not_taken_for_bright_cloud():
    snow = (0.95, 0.92, 0.86, 0.05, 0.12, 0.08, 262, 261, 260.6)
    assert not threshold_flags(scene(snow, sea=False)).any()


def test_missing_pixels_are_never_flagged_and_have_no_probability(fitted_screen):
    features = scene(CLEAR_SEA_NIGHT, (0,) * 6 + (241, 240, 239.8))
    features.channels[:10, :, 8] = np.nan
    features.channels[30, 40] = 0
    missing = ~features.valid
    assert missing.sum() == 10 * 80 + 1
    assert not threshold_flags(features)[missing].any()
    assert (np.isnan(fitted_screen.cloud_probability(features)) == missing).all()


def test_both_screens_do_better_than_chance(synthetic_data, fitted_screen):
    for path in list_scenes(synthetic_data, "inference"):
        features, truth = read_pixel_features(path), read_mask(path, "truth") > 0
        valid = features.valid
        masks = {
            "threshold": threshold_flags(features) > 0,
            "bayesian": fitted_screen.cloud_probability(features) > 0.5,
        }
        scores = {
            name: mask_scores(confusion_counts(mask[valid], truth[valid]))
            for name, mask in masks.items()
        }
        assert scores["threshold"]["balanced_accuracy"] > 0.7
        assert scores["bayesian"]["balanced_accuracy"] > 0.9


def test_posterior_follows_bayes_theorem_where_the_pixels_do_not_tell():
    """All pixels look alike, so the posterior is the prior: the share of cloud in training."""
    features = PixelFeatures(np.full((400, 400, 9), CLEAR_SEA_NIGHT, np.float32))
    cloudy = np.zeros((400, 400), bool)
    cloudy[:100] = True
    training = ScreenTraining()
    training.add(features, cloudy)
    probability = training.screen().cloud_probability(features)
    np.testing.assert_allclose(probability, 0.25, atol=0.001)


def test_posterior_is_sure_where_clear_and_cloudy_never_look_alike():
    features = scene(CLEAR_SEA_NIGHT, (0,) * 6 + (241, 240, 239.8))
    cloudy = np.zeros(SHAPE, bool)
    cloudy[20:40, 30:50] = True
    training = ScreenTraining()
    training.add(PixelFeatures(features.channels), cloudy)
    probability = training.screen().cloud_probability(PixelFeatures(features.channels))
    assert probability[30, 40] > 0.99
    assert probability[5, 5] < 0.01


def test_saved_screen_gives_the_same_probabilities(synthetic_data, fitted_screen, tmp_path):
    save_screen(tmp_path / "screen.npz", fitted_screen)
    features = read_pixel_features(list_scenes(synthetic_data, "inference")[0])
    again = load_screen(tmp_path / "screen.npz").cloud_probability(features)
    np.testing.assert_array_equal(again, fitted_screen.cloud_probability(features))


def test_time_of_day_never_trained_on_has_no_probability():
    night = scene(CLEAR_SEA_NIGHT)
    training = ScreenTraining()
    training.add(night, np.zeros(SHAPE, bool))
    assert np.isnan(training.screen().cloud_probability(scene(CLEAR_SEA_DAY))).all()


@pytest.mark.parametrize("content", [b"", b"not an archive", None])
def test_screen_that_cannot_be_read_is_named(tmp_path, content):
    path = tmp_path / "screen.npz"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(InputError, match=r"screen\.npz"):
        load_screen(path)


def test_pickled_screen_is_refused(tmp_path):
    path = tmp_path / "screen.npz"
    np.savez(path, format=np.array([{"a": 1}], dtype=object))
    with pytest.raises(InputError, match=r"screen\.npz"):
        load_screen(path)


def test_screen_with_other_bins_is_refused(tmp_path, fitted_screen):
    cases = {
        key: histograms._replace(textural=histograms.textural[:, :5])
        for key, histograms in fitted_screen.histograms.items()
    }
    save_screen(tmp_path / "screen.npz", BayesianScreen(cases))
    with pytest.raises(InputError, match="shape"):
        load_screen(tmp_path / "screen.npz")
