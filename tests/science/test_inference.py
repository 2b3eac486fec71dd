"""Whole-scene masks against the reference's, and the scores made of them."""

import numpy as np
import pytest
import torch

from cloudmask.data.scene import read_scene
from cloudmask.model.unet import UNet
from cloudmask.science.evaluation import mean_over_scenes, score_scene
from cloudmask.science.inference import predict_scene
from cloudmask.training.precision import Precision
from tests.conftest import REFERENCE, write_scene
from tests.model.reference_weights import fill_with_reference_weights

FLOAT32 = Precision(torch.float32, torch.device("cpu"))


def test_whole_scene_probability_agrees_with_reference(reference_scene, tmp_path):
    network = fill_with_reference_weights(UNet(), np.random.RandomState(1234))
    image, _ = read_scene(write_scene(tmp_path / "S3A.hdf", **reference_scene))
    probability = predict_scene(network, image, FLOAT32, batch_size=8)
    vectors = np.load(REFERENCE / "scene.npz")
    sample = vectors["stitched_probability_sample"].reshape(60, 75)
    np.testing.assert_allclose(probability[::20, ::20], sample, atol=1e-4, rtol=0)
    fraction = float((probability > 0.5).mean())
    assert fraction == pytest.approx(float(vectors["stitched_cloud_fraction"]), abs=1e-4)


class ColdIsCloud(torch.nn.Module):
    """Calls cloud where the last channel (S9) is below its centre."""

    def forward(self, x):
        return -x[:, 8:]


def test_scores_compare_every_mask_with_label_and_truth(tmp_path):
    bts = np.full((1200, 1500, 3), 290, np.float32)
    bts[:600] = 240  # the network will call the upper half cloud
    truth = np.zeros((1200, 1500, 1), np.float32)
    truth[:300] = 1
    bayes = np.zeros((1200, 1500, 1), np.float32)
    bayes[:360] = 2
    path = write_scene(tmp_path / "S3A.hdf", bts=bts, truth=truth, bayes=bayes, summary=1)
    scores = score_scene(path, ColdIsCloud(), FLOAT32, batch_size=16)
    assert scores == {
        "inference_accuracy": pytest.approx(1 - 240 / 1200),
        "network_accuracy_against_truth": pytest.approx(1 - 300 / 1200),
        "bayes_accuracy_against_truth": pytest.approx(1 - 60 / 1200),
        "summary_accuracy_against_truth": pytest.approx(300 / 1200),
    }


def test_scenes_without_truth_are_compared_with_the_label_alone(tmp_path):
    scores = score_scene(write_scene(tmp_path / "S3A.hdf"), ColdIsCloud(), FLOAT32, 16)
    assert list(scores) == ["inference_accuracy"]


def test_means_are_over_the_scenes_that_have_a_score():
    result = mean_over_scenes([{"a": 0.5, "b": 1.0}, {"a": 1.0}])
    assert result == {"a": 0.75, "b": 1.0, "inference_scenes": 2}
