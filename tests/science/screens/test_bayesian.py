"""Bayesian screen: its probability against Bayes' theorem by hand, its file, and its skill."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from cloudmask.errors import InputError
from cloudmask.science.pixel_features import PixelFeatures
from cloudmask.science.screens.bayesian import (
    BayesianScreen,
    Histograms,
    ScreenTraining,
    load_screen,
    save_screen,
)
from tests.science.pixels import (
    CLEAR_SEA_DAY,
    CLEAR_SEA_NIGHT,
    MIDDLE,
    SHAPE,
    SQUARE,
    uniform_scene,
)

COLUMNS = np.arange(120)
TEXTURE = (-1.6, 1.2, 10)
COLD_SQUARE = (0,) * 6 + (241, 240, 239.8)


def trained_on(features, cloudy):
    training = ScreenTraining()
    training.add(features, cloudy)
    return training.screen()


def cloudy_square():
    cloudy = np.zeros(SHAPE, bool)
    cloudy[SQUARE] = True
    return cloudy


@pytest.fixture
def small_screen():
    """Fitted to a night scene whose cold square is cloud."""
    return trained_on(uniform_scene(CLEAR_SEA_NIGHT, COLD_SQUARE), cloudy_square())


@pytest.mark.parametrize("pixel", [CLEAR_SEA_NIGHT, CLEAR_SEA_DAY])
def test_posterior_of_equal_pixels_is_the_prior_the_share_of_cloud(pixel):
    features = PixelFeatures(np.full((400, 400, 9), pixel, np.float32))
    cloudy = np.zeros((400, 400), bool)
    cloudy[:100] = True
    probability = trained_on(features, cloudy).cloud_probability(features)
    np.testing.assert_allclose(probability, 0.25, atol=0.001)


def reference_density(values, bins):
    """Histogram smoothed by one bin, with a pixel spread over its bins, as a density."""
    lows, highs, _ = zip(*bins, strict=True)
    edges = [np.linspace(low, high, n + 1) for low, high, n in bins]
    counts = np.histogramdd(np.clip(values, lows, highs), edges)[0]
    smooth = gaussian_filter(counts, 1, mode="nearest") + 1 / counts.size
    return smooth / smooth.sum()


@pytest.mark.parametrize("day", [False, True])
def test_probability_follows_bayes_theorem_over_smoothed_histograms(day):
    """Product of the factors' densities times prior, for clear and for cloudy sky."""
    rng = np.random.default_rng(0)
    cloudy = rng.random((100, 120)) < np.where(COLUMNS > 80, 0.9, 0.1)
    channels = np.zeros((100, 120, 9), np.float32)
    channels[..., 7] = rng.normal(285 - 15 * (COLUMNS > 80), np.linspace(0.001, 4, 120))
    channels[..., 8] = channels[..., 7] - rng.uniform(-0.5, 4.5, cloudy.shape)
    channels[..., 6] = channels[..., 7] + rng.uniform(-4, 7, cloudy.shape)
    if day:
        channels[..., :6] = rng.uniform(0.05, 0.95, (*cloudy.shape, 6))
    features = PixelFeatures(channels)
    s3, s5, s7, s8, s9 = (channels[..., n - 1].astype(float) for n in (3, 5, 7, 8, 9))
    texture = np.log10(features.texture)
    factors = [
        ([s8, s8 - s9, s7 - s8, texture], [(195, 315, 60), (-1, 5, 30), (-8, 8, 40), TEXTURE])
    ]
    if day:
        spectral = [(195, 315, 40), (-5, 40, 30), (0, 1, 20), (0, 1, 20)]
        factors = [
            ([s8, s7 - s8, np.sqrt(s3), np.sqrt(s5)], spectral),
            ([texture], [(*TEXTURE[:2], 28)]),
        ]
    joint = {}
    for sky in (cloudy, ~cloudy):
        product = sky.sum() + 1
        for values, bins in factors:
            found = reference_density(np.stack([value[sky] for value in values], -1), bins)
            index = [
                np.clip((value - low) // ((high - low) / n), 0, n - 1).astype(int)
                for value, (low, high, n) in zip(values, bins, strict=True)
            ]
            product = product * found[tuple(index)]
        joint[sky is cloudy] = product
    expected = joint[True] / (joint[True] + joint[False])
    probability = trained_on(features, cloudy).cloud_probability(features)
    # A value on the end of a bin may fall into either.
    assert np.isclose(probability, expected, rtol=1e-3, atol=0).mean() > 0.999
    assert expected.min() < 0.05
    assert expected.max() > 0.95


def test_posterior_is_sure_where_clear_and_cloudy_pixels_never_look_alike(small_screen):
    features = uniform_scene(CLEAR_SEA_NIGHT, COLD_SQUARE)
    probability = small_screen.cloud_probability(features)
    assert probability[MIDDLE] > 0.99
    assert probability[5, 5] < 0.01


def test_scenes_are_added_up():
    features = uniform_scene(CLEAR_SEA_NIGHT, COLD_SQUARE)
    training = ScreenTraining()
    for cloudy in (cloudy_square(), np.zeros(SHAPE, bool)):
        training.add(features, cloudy)
    found = training.screen().histograms
    assert set(found) == {("night", "sea"), ("night", "any")}
    for histograms in found.values():
        for counts in histograms.counts:
            assert counts.sum(axis=1).tolist() == [2 * 60 * 80 - 400, 400]


@pytest.mark.parametrize(("pixels", "probability"), [(100_000, 0.2), (99_999, 0.7)])
def test_surface_with_few_training_pixels_takes_the_histograms_of_all(pixels, probability):
    """All pixels look alike, so the probability is the share of cloud in training."""
    shares = {"sea": (pixels, 0.2), "any": (1_000_000, 0.7)}
    screen = trained_on(uniform_scene(CLEAR_SEA_NIGHT), np.zeros(SHAPE, bool))
    for surface, (number, share) in shares.items():
        before = screen.histograms["night", surface].counts
        shape = [counts[0] / counts[0].sum() for counts in before]
        counts = (np.stack([number * (1 - share) * each, number * share * each]) for each in shape)
        screen.histograms["night", surface] = Histograms("night", tuple(counts))
    found = screen.cloud_probability(uniform_scene(CLEAR_SEA_NIGHT), by_surface=True)
    np.testing.assert_allclose(found, probability, atol=1e-3)


def test_surface_is_used_only_where_it_is_asked_for():
    """Land and sea look alike, but the training land was cloudier."""
    land, sea = (uniform_scene(CLEAR_SEA_NIGHT, surface=name) for name in ("land", "sea"))
    training = ScreenTraining()
    rng = np.random.default_rng(0)
    for features, share in ((land, 0.8), (sea, 0.2)):
        for _ in range(30):  # over MIN_PIXELS of each
            training.add(features, rng.random(SHAPE) < share)
    screen = training.screen()
    for features, share in ((land, 0.8), (sea, 0.2)):
        without, given = (
            screen.cloud_probability(features, by_surface).mean() for by_surface in (False, True)
        )
        assert without == pytest.approx(0.5, abs=0.02)
        assert given == pytest.approx(share, abs=0.02)


def test_pixels_of_a_surface_never_trained_on_take_the_histograms_of_all(small_screen):
    features = uniform_scene(CLEAR_SEA_NIGHT, COLD_SQUARE, surface="land")
    assert small_screen.cloud_probability(features, by_surface=True)[MIDDLE] > 0.99


def test_invalid_pixels_have_no_probability(small_screen):
    features = uniform_scene(CLEAR_SEA_NIGHT, COLD_SQUARE)
    features.channels[:10, :, 8] = np.nan
    features.channels[MIDDLE] = 0
    assert (~features.valid).sum() == 10 * 80 + 1
    assert (np.isnan(small_screen.cloud_probability(features)) == ~features.valid).all()


def test_time_of_day_never_trained_on_has_no_probability(small_screen):
    assert np.isnan(small_screen.cloud_probability(uniform_scene(CLEAR_SEA_DAY))).all()


def test_saved_screen_gives_the_same_probabilities(small_screen, tmp_path):
    save_screen(tmp_path / "screen.npz", small_screen)
    again = load_screen(tmp_path / "screen.npz")
    features = uniform_scene(CLEAR_SEA_NIGHT, COLD_SQUARE)
    expected = small_screen.cloud_probability(features)
    np.testing.assert_array_equal(again.cloud_probability(features), expected)


@pytest.mark.parametrize("content", [b"", b"not an archive", None])
def test_screen_that_cannot_be_read_is_named(tmp_path, content):
    path = tmp_path / "screen.npz"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(InputError, match=r"screen\.npz cannot be read"):
        load_screen(path)


def test_pickled_screen_is_refused(tmp_path):
    path = tmp_path / "screen.npz"
    np.savez(path, format=np.array([{"a": 1}], dtype=object))
    with pytest.raises(InputError, match=r"screen\.npz cannot be read"):
        load_screen(path)


def test_screen_of_another_version_is_refused(tmp_path):
    path = tmp_path / "screen.npz"
    np.savez(path, format=np.array("cloudmask-bayesian-screen-0"))
    with pytest.raises(InputError, match=r"screen\.npz is not a Bayesian screen of this version"):
        load_screen(path)


def test_screen_with_other_bins_is_refused(tmp_path, small_screen):
    histograms = {
        key: replace(each, counts=tuple(counts[:, :5] for counts in each.counts))
        for key, each in small_screen.histograms.items()
    }
    save_screen(tmp_path / "screen.npz", replace(small_screen, histograms=histograms))
    with pytest.raises(InputError, match=r"has shape \(2, 5\), expected \(2, "):
        load_screen(tmp_path / "screen.npz")


def test_screen_without_histograms_is_loaded_and_has_no_probability(tmp_path):
    save_screen(tmp_path / "screen.npz", BayesianScreen({}))
    screen = load_screen(tmp_path / "screen.npz")
    assert np.isnan(screen.cloud_probability(uniform_scene(CLEAR_SEA_NIGHT))).all()
