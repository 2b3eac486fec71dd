"""Evaluation of single scenes: what is counted, and unusable scenes."""

import os
from pathlib import Path

import numpy as np
import pytest

from cloudmask.errors import InputError, SceneError
from cloudmask.scenes.hdf5_scene import read_mask
from cloudmask.scenes.layout import list_scenes
from cloudmask.science.cloud_masks import CloudDetectors
from cloudmask.science.pixel_features import read_pixel_features
from cloudmask.science.scene_evaluation import evaluate_scene, fit_screen
from cloudmask.science.scene_workers import map_scenes
from cloudmask.science.scores import mask_scores, probability_scores
from cloudmask.science.sst.consistency import sst_scores
from tests.scene_files import product_name, write_scene
from tests.science.networks import FLOAT32, ColdIsCloud

WITHOUT_DETECTORS = CloudDetectors(None, FLOAT32)


def no_progress(scenes):
    pass


def test_counts_of_a_scene_are_those_of_its_valid_pixels(synthetic_data, evaluated):
    path = list_scenes(synthetic_data, "inference")[0]
    valid, truth = read_pixel_features(path).valid, read_mask(path, "truth")
    summary = read_mask(path, "summary")
    found = mask_scores(evaluated.sums["mask", "truth", "all", "all", "summary"])
    assert found["accuracy"] == pytest.approx((summary == truth)[valid].mean())
    assert evaluated.sums["mask", "truth", "all", "all", "network"].sum() == valid.sum()


def test_every_pair_of_masks_and_references_is_counted_but_the_label_with_its_own_mask(evaluated):
    masks = [
        *("network", "bayesian_screen", "bayesian_strict", "bayesian_surface"),
        *("threshold_screen", "bayes", "summary"),
    ]
    whole = [key for key in evaluated.sums if key[0] == "mask" and key[2:4] == ("all", "all")]
    found = {(key[1], key[-1]) for key in whole}
    pairs = {(reference, mask) for reference in ("label", "truth") for mask in masks}
    assert found == pairs - {("label", "bayes")}
    assert sum(key[0] == "agreement" for key in evaluated.sums) == 21
    assert {key[1] for key in evaluated.sums if key[0] == "sst"} == {*masks, "truth"}
    assert {key[1:] for key in evaluated.sums if key[0] == "probability"} == {
        (reference, mask)
        for reference in ("label", "truth")
        for mask in ("network", "bayesian_screen", "bayesian_surface")
    }


def test_strata_of_each_family_add_up_to_the_whole(evaluated):
    whole = evaluated.sums["mask", "truth", "all", "all", "network"]
    families = {key[2] for key in evaluated.sums if key[:2] == ("mask", "truth")}
    assert families == {"all", "time", "surface", "cloud edge", "cloud type"}
    for family in families:
        parts = [
            sums
            for key, sums in evaluated.sums.items()
            if key[:3] == ("mask", "truth", family) and key[-1] == "network"
        ]
        np.testing.assert_array_equal(np.sum(parts, axis=0), whole)


def test_both_screens_are_better_than_chance_on_scenes_with_a_truth(evaluated):
    for mask, least in (("threshold_screen", 0.7), ("bayesian_screen", 0.95)):
        scores = mask_scores(evaluated.sums["mask", "truth", "all", "all", mask])
        assert scores["balanced_accuracy"] > least


def test_positive_weight_and_minimum_sst_are_those_asked_for(tmp_path):
    bts = np.full((1200, 1500, 3), 285, np.float32)
    bts[:300] = 280
    path = write_scene(tmp_path / product_name(0), bts=bts, bayes=1, summary=None)
    detectors = CloudDetectors(ColdIsCloud(), FLOAT32)
    sums = evaluate_scene(path, detectors, positive_weight=0.5, min_sst=283).sums
    probability = [1 / (1 + np.exp((kelvin - 270) / 22)) for kelvin in (280, 285)]
    expected = -0.5 * (0.25 * np.log(probability[0]) + 0.75 * np.log(probability[1]))
    found = probability_scores(sums["probability", "label", "network"])
    assert found["wbce"] == pytest.approx(expected, rel=1e-3)
    assert sst_scores(sums["sst", "network"])["below_min_sst"] == 0.25


def test_scene_without_label_truth_or_surface_has_sums_of_sst_alone(tmp_path):
    path = write_scene(tmp_path / product_name(0), bayes=None, summary=None)
    found = evaluate_scene(path, WITHOUT_DETECTORS)
    assert list(found.sums) == [("sst", "threshold_screen")]
    assert (found.day_share, found.surface_known) == (1, False)


def test_scene_without_a_valid_pixel_is_refused(tmp_path):
    path = write_scene(tmp_path / product_name(0), bts=0)
    with pytest.raises(SceneError, match=f"{path.name}: no pixel has all its channels"):
        evaluate_scene(path, WITHOUT_DETECTORS)


def test_unusable_scenes_are_named_and_the_others_evaluated(tmp_path):
    paths = [tmp_path / name for name in ("a", "b", "c")]
    unusable, steps = {}, []

    def name_of(path):
        if path.name == "b":
            raise SceneError("b: truncated")
        return path.name

    assert map_scenes(name_of, paths, "scene", unusable, steps.append) == ["a", "c"]
    assert unusable == {"b": "b: truncated"}
    assert steps == [1, 1, 1]


def test_names_that_are_no_text_are_escaped_and_whatever_fails_in_a_file_fails_that_scene_alone():
    unusable = {}

    def name_of(path):
        if path.name != "good":
            raise UnicodeDecodeError("utf-8", b"\xff", 0, 1, "invalid start byte")
        return path.name

    paths = [Path(os.fsdecode(b"bad\xff")), Path("good")]
    assert map_scenes(name_of, paths, "scene", unusable, no_progress) == ["good"]
    assert list(unusable) == [r"bad\udcff"]
    assert unusable[r"bad\udcff"].startswith(r"bad\udcff: 'utf-8' codec can't decode byte 0xff")


def test_a_scene_whose_name_is_no_text_is_evaluated_by_its_escaped_name(tmp_path):
    path = write_scene(tmp_path / os.fsdecode(b"S3A_\xff.hdf"))
    assert evaluate_scene(path, WITHOUT_DETECTORS).name == r"S3A_\udcff.hdf"


def test_no_usable_scene_is_an_error_that_names_the_first_reason():
    def fail(path):
        raise SceneError(f"{path.name}: truncated")

    expected = "no training scene can be used; the first of 2: a: truncated"
    with pytest.raises(InputError, match=expected):
        map_scenes(fail, [Path("a"), Path("b")], "training scene", {}, no_progress)


def test_training_scenes_need_a_label_and_a_valid_pixel(tmp_path):
    good = write_scene(tmp_path / product_name(0), bayes=1)
    unlabelled = write_scene(tmp_path / product_name(1), bayes=None)
    empty = write_scene(tmp_path / product_name(2), bts=0)
    unusable = {}
    screen = fit_screen([unlabelled, good, empty], unusable, no_progress)
    assert screen.histograms["day", "any"].counts[0].sum(axis=1).tolist() == [0, 1_800_000]
    assert unusable == {
        unlabelled.name: f"{unlabelled.name}: 'bayes' is missing: no label to learn from",
        empty.name: f"{empty.name}: no pixel has all its channels; leave the scene out",
    }
