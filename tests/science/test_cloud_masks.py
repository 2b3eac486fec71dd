"""The masks of a scene: their thresholds, and which of them a scene has."""

import numpy as np
import pytest

from cloudmask.science.cloud_masks import (
    CloudDetectors,
    cloud_masks,
    cloud_probabilities,
    read_references,
)
from cloudmask.science.pixel_features import read_pixel_features
from cloudmask.science.screens.bayesian import BayesianScreen
from tests.scene_files import product_name, write_scene
from tests.science.networks import FLOAT32, ColdIsCloud
from tests.science.pixels import CLEAR_SEA_NIGHT, uniform_scene


@pytest.fixture
def bare(tmp_path):
    """A scene without masks."""
    return write_scene(tmp_path / product_name(0), bayes=None, summary=None)


def test_network_and_both_bayesian_screens_have_thresholds_of_their_own(bare):
    values = np.array([0.05, 0.099, 0.101, 0.499, 0.501, 0.95], np.float32)
    probability = np.broadcast_to(values[:, None], (6, 2))
    features = uniform_scene(CLEAR_SEA_NIGHT)
    found = {"network": probability, "bayesian_screen": probability}
    masks = cloud_masks(bare, features, found)
    assert list(masks) == ["network", "bayesian_screen", "bayesian_strict", "threshold_screen"]
    assert masks["network"][:, 0].tolist() == [False] * 4 + [True] * 2
    assert masks["bayesian_screen"][:, 0].tolist() == [False] * 4 + [True] * 2
    assert masks["bayesian_strict"][:, 0].tolist() == [False] * 2 + [True] * 4


def test_scene_without_masks_and_detectors_has_the_threshold_screen_alone(bare):
    features = read_pixel_features(bare)
    probabilities = cloud_probabilities(features, CloudDetectors(None, FLOAT32))
    assert probabilities == {}
    assert list(cloud_masks(bare, features, probabilities)) == ["threshold_screen"]
    assert read_references(bare) == {}


def test_masks_of_the_file_are_cloudy_where_any_flag_is_set(tmp_path):
    flags = np.zeros((1200, 1500, 1), np.float32)
    flags[:300], flags[300:400] = 255, 1
    path = write_scene(tmp_path / product_name(0), bayes=flags, summary=0, truth=1)
    masks = cloud_masks(path, read_pixel_features(path), {})
    references = read_references(path)
    assert masks["bayes"].mean() == references["label"].mean() == pytest.approx(1 / 3)
    assert masks["summary"].mean() == 0
    assert references["truth"].mean() == 1


def test_network_sees_normalised_channels_and_the_features_keep_theirs(bare):
    features = read_pixel_features(bare)
    detectors = CloudDetectors(ColdIsCloud(), FLOAT32)
    probability = cloud_probabilities(features, detectors)["network"]
    np.testing.assert_allclose(probability, 1 / (1 + np.exp((285 - 270) / 22)), atol=1e-3)
    assert (features.band(9) == 285).all()


def test_bayesian_screen_without_a_probability_for_every_valid_pixel_is_left_out(bare):
    detectors = CloudDetectors(None, FLOAT32, bayesian=BayesianScreen({}))
    assert cloud_probabilities(read_pixel_features(bare), detectors) == {}
