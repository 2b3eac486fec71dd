"""Scores of whole scenes against label, truth and sea surface temperature."""

import numpy as np
import pytest

from cloudmask.errors import SceneError
from cloudmask.inference.whole_scene import predict_scene
from cloudmask.science.inference_result import (
    SST_SCORES,
    mean_over_scenes,
    read_labelled_scene,
    score_scene,
)
from tests.scene_files import write_scene
from tests.science.networks import FLOAT32, ColdIsCloud


def score(path):
    scene = read_labelled_scene(path)
    return score_scene(scene, predict_scene(ColdIsCloud(), scene.image, FLOAT32, 1))


def test_scores_compare_every_mask_with_label_and_truth(tmp_path):
    bts = np.full((1200, 1500, 3), 290, np.float32)
    bts[:600] = 240  # the network will call the upper half cloud
    truth = np.zeros((1200, 1500, 1), np.float32)
    truth[:300] = 1
    bayes = np.zeros((1200, 1500, 1), np.float32)
    bayes[:360] = 2
    path = write_scene(tmp_path / "S3A.hdf", bts=bts, truth=truth, bayes=bayes, summary=1)
    scores = score(path)
    assert scores == {
        "inference_accuracy": pytest.approx(1 - 240 / 1200),
        "measured_accuracy": pytest.approx(1 - 240 / 1200),
        "network_accuracy_against_truth": pytest.approx(1 - 300 / 1200),
        "bayes_accuracy_against_truth": pytest.approx(1 - 60 / 1200),
        "summary_accuracy_against_truth": pytest.approx(300 / 1200),
        "network_sst_coverage": pytest.approx(600 / 1200),
        **{f"network_sst_{score}": 0 for score in ("contaminated", "not_judged", "cold_tail")},
        "bayes_sst_coverage": pytest.approx(840 / 1200),
        "bayes_sst_contaminated": pytest.approx(240 / 840),
        **{f"bayes_sst_{score}": 0 for score in ("not_judged", "cold_tail")},
        "summary_sst_coverage": 0,
    }


def test_scenes_without_truth_are_compared_with_the_label_alone(tmp_path):
    scores = score(write_scene(tmp_path / "S3A.hdf", summary=None))
    assert list(scores) == [
        *("inference_accuracy", "measured_accuracy"),
        *(f"network_sst_{score}" for score in SST_SCORES),
        *(f"bayes_sst_{score}" for score in SST_SCORES),
    ]


def test_pixels_that_nothing_measured_count_in_the_benchmark_s_accuracy_alone(tmp_path):
    bts = np.full((1200, 1500, 3), 290, np.float32)
    bts[:600] = 0  # which the network will call cloud, and the label clear
    refs = np.zeros((1200, 1500, 6), np.float32)
    path = write_scene(tmp_path / "S3A.hdf", bts=bts, refs=refs, truth=0)
    scores = score(path)
    assert scores["inference_accuracy"] == 0.5
    assert scores["measured_accuracy"] == scores["network_accuracy_against_truth"] == 1
    empty = score(write_scene(tmp_path / "S3B.hdf", bts=0, refs=0, truth=0))
    assert empty == {"inference_accuracy": 0}


def test_cold_water_that_a_mask_calls_clear_contaminates_it(tmp_path):
    bts = np.full((1200, 1500, 3), 290, np.float32)
    bts[:, ::10] = 280  # which the network takes for clear, and the label for cloud
    bayes = np.zeros((1200, 1500, 1), np.float32)
    bayes[:, ::10] = 1
    scene = read_labelled_scene(
        write_scene(tmp_path / "S3A.hdf", bts=bts, bayes=bayes, summary=None)
    )
    clear = np.zeros((1200, 1500), np.float32)
    scores = score_scene(scene, clear)
    assert scores["network_sst_cold_tail"] == pytest.approx(0.1)
    assert scores["bayes_sst_cold_tail"] == 0
    warm = score_scene(scene, clear, min_sst=285)
    assert warm["network_sst_cold_tail"] == 0
    assert warm["network_sst_contaminated"] == pytest.approx(0.1)


def test_scene_without_label_cannot_be_scored(tmp_path):
    with pytest.raises(SceneError, match=r"S3A\.hdf: 'bayes' is missing"):
        read_labelled_scene(write_scene(tmp_path / "S3A.hdf", bayes=None))


def test_means_are_over_the_scenes_that_have_a_score():
    result = mean_over_scenes([{"a": 0.5, "b": 1.0}, {"a": 1.0}])
    assert result == {"a": 0.75, "b": 1.0, "inference_scenes": 2}
