"""The command `evaluate` and the comparison behind it, on real files."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from functools import partial

import h5py
import numpy as np
import pytest

from cloudmask.cli import main
from cloudmask.model.unet import UNet
from cloudmask.model.weights import save_weights
from cloudmask.scenes.hdf5_scene import read_mask
from cloudmask.scenes.layout import list_scenes
from cloudmask.science.evaluation_report import evaluation_report
from cloudmask.science.pixel_features import read_pixel_features
from cloudmask.science.scene_evaluation import evaluate_scene, map_scenes
from cloudmask.science.scores import mask_scores
from cloudmask.science.text_report import text_report
from tests.scene_files import product_name, write_learnable_scene, write_scene

SETTINGS = {"weights": "weights"}


def report_on(scenes, unusable=None):
    return evaluation_report(scenes, unusable or {}, SETTINGS)


@pytest.fixture(scope="session")
def weights(tmp_path_factory):
    path = tmp_path_factory.mktemp("weights") / "weights_0.safetensors"
    save_weights(path, UNet(widths=(2, 2, 2, 2)))
    return path


@pytest.fixture(scope="session")
def counted(synthetic_data, detectors):
    return evaluate_scene(list_scenes(synthetic_data, "inference")[0], detectors)


def test_counts_of_a_scene_are_those_of_its_valid_pixels(synthetic_data, counted):
    path = list_scenes(synthetic_data, "inference")[0]
    valid, truth = read_pixel_features(path).valid, read_mask(path, "truth")
    summary = read_mask(path, "summary")
    found = mask_scores(counted.sums["mask", "truth", "all", "all", "summary"])
    assert found["accuracy"] == pytest.approx((summary == truth)[valid].mean())
    assert counted.sums["mask", "truth", "all", "all", "network"].sum() == valid.sum()
    assert ("mask", "label", "all", "all", "bayes") not in counted.sums


def test_strata_of_each_family_add_up_to_the_whole(counted):
    whole = counted.sums["mask", "truth", "all", "all", "network"]
    families = {key[2] for key in counted.sums if key[:2] == ("mask", "truth")}
    assert families == {"all", "time", "surface", "cloud edge", "cloud type"}
    for family in families:
        parts = [
            sums
            for key, sums in counted.sums.items()
            if key[:3] == ("mask", "truth", family) and key[-1] == "network"
        ]
        np.testing.assert_array_equal(np.sum(parts, axis=0), whole)


@pytest.mark.slow
def test_distance_to_the_edge_of_cloud_is_in_pixels(tmp_path, detectors):
    truth = np.zeros((1200, 1500, 1), np.float32)
    truth[:, 750:] = 1
    path = write_scene(tmp_path / product_name(0), truth=truth)
    sums = evaluate_scene(path, detectors).sums
    edges = {key[3]: row.sum() for key, row in sums.items() if key[1:3] == ("truth", "cloud edge")}
    assert edges == {
        "up to 2 km": 1200 * 4,
        "2 to 5 km": 1200 * 6,
        "5 to 15 km": 1200 * 20,
        "over 15 km": 1200 * 1470,
    }


def test_few_scenes_are_said_to_support_no_claim(counted):
    report = report_on([counted])
    assert len(report["findings"]) == 1
    assert "too few for any finding" in report["findings"][0]
    assert any("uninformative" in note for note in report["notes"])
    assert any("imitates" in note for note in report["notes"])


def test_screen_judged_on_its_own_training_scenes_is_said_to_look_too_good(counted):
    settings = SETTINGS | {"scenes_also_trained_on": [counted.name]}
    notes = evaluation_report([counted], {}, settings)["notes"]
    assert any("fitted to scenes" in note for note in notes)


@pytest.mark.slow
def test_clear_differences_of_many_scenes_are_claimed_and_unclear_ones_are_not(counted):
    rng = np.random.default_rng(0)
    scenes = []
    for _ in range(12):
        sums = dict(counted.sums)
        right = rng.integers(700, 750)
        network = np.array([right, 100, 100, 900 - right], float)
        noise = rng.choice([-9, 9])
        for mask, change in {
            "network": (0, 0, 0, 0),
            "bayes": (-80, 40, 40, 0),
            "summary": (noise, -noise, 0, 0),
        }.items():
            sums["mask", "truth", "all", "all", mask] = network + change
        scenes.append(replace(counted, sums=sums))
    findings = report_on(scenes)["findings"]
    assert any("accuracy of the network differs from that of bayes" in each for each in findings)
    assert not any("against truth: accuracy" in each and "summary" in each for each in findings)


def test_scene_without_truth_label_or_surface_is_judged_by_sst_alone(tmp_path, detectors):
    path = write_scene(tmp_path / product_name(0), bayes=None, summary=None)
    report = report_on([evaluate_scene(path, detectors)])
    assert report["references"] == {}
    assert report["sst"]["masks"]["network"]["coverage"]["value"] == 1
    assert any("surface" in note for note in report["notes"])
    assert any("No scene has a truth" in note for note in report["notes"])
    assert "SST consistency" in text_report(report)


@pytest.mark.slow
def test_without_a_fitted_screen_the_notes_say_how_to_get_one(tmp_path, detectors, counted):
    path = write_scene(tmp_path / product_name(0))
    bare = evaluate_scene(path, replace(detectors, bayesian=None))
    assert any("give --training-scenes" in note for note in report_on([bare])["notes"])
    settings = SETTINGS | {"training_scenes": "training"}
    notes = evaluation_report([bare, counted], {}, settings)["notes"]
    assert any(note.startswith("1 scenes have pixels of a time of day") for note in notes)
    assert not any("--training-scenes" in note for note in notes)
    notes = evaluation_report([counted], {}, settings)["notes"]
    assert not any("Bayesian screen" in note for note in notes)


def test_undefined_scores_of_a_scene_of_one_class_are_null_and_a_dash(tmp_path, detectors):
    path = write_scene(tmp_path / product_name(0), truth=0)
    report = report_on([evaluate_scene(path, detectors)])
    scores = report["references"]["truth"]["masks"]["bayes"]
    assert scores["accuracy"]["value"] == 1
    assert scores["balanced_accuracy"]["value"] is None
    kappas = [pair["kappa"]["value"] for pair in report["agreement"]]
    assert None in kappas
    json.dumps(report, allow_nan=False)
    row = next(line for line in text_report(report).splitlines() if line.startswith("bayes "))
    assert " - " in row


@pytest.mark.slow
def test_bad_scene_among_good_ones_is_named_and_the_rest_goes_on(tmp_path, detectors):
    good = write_learnable_scene(tmp_path / product_name(0), 0)
    bad = tmp_path / product_name(1)
    bad.write_bytes(good.read_bytes()[:5000])
    empty = write_scene(tmp_path / product_name(2), bts=0)
    unusable = {}
    evaluate = partial(evaluate_scene, detectors=detectors)
    counted = map_scenes(evaluate, [good, bad, empty], "scene", unusable, lambda scenes: None)
    assert [scene.name for scene in counted] == [good.name]
    assert set(unusable) == {bad.name, empty.name}
    assert f"not used: {bad.name}" in text_report(report_on(counted, unusable))


@pytest.mark.slow
def test_command_writes_json_text_and_screen_and_names_what_it_left_out(tmp_path, weights, capsys):
    for number in range(2):
        write_learnable_scene(tmp_path / "training" / product_name(number), number)
    write_learnable_scene(tmp_path / "judged" / product_name(5), 5)
    (tmp_path / "judged" / product_name(6)).write_bytes(b"no scene")
    out = tmp_path / "out"
    command = ["evaluate", "--weights", weights, "--scenes", tmp_path / "judged"]
    command += ["--training-scenes", tmp_path / "training", "--output", out]
    assert main([str(part) for part in command]) == 4
    report = json.loads((out / "evaluation.json").read_text())
    assert report["format"] == "cloudmask-evaluation-1"
    assert report["scenes"] == [product_name(5)]
    assert list(report["unusable"]) == [product_name(6)]
    assert not any("fitted to scenes" in note for note in report["notes"])
    masks = report["references"]["truth"]["masks"]
    assert masks["bayesian_screen"]["accuracy"]["value"] > 0.95
    assert masks["summary"]["accuracy"]["value"] == 1
    assert (out / "evaluation.txt").read_text() == capsys.readouterr().out

    assert main([str(part) for part in command]) == 2
    assert "exists" in capsys.readouterr().err

    command = ["evaluate", "--weights", weights, "--scenes", tmp_path / "training"]
    command += ["--bayesian-screen", out / "bayesian_screen.npz", "--format", "json"]
    assert main([str(part) for part in command]) == 0
    again = json.loads(capsys.readouterr().out)
    assert again["references"]["truth"]["masks"]["bayesian_screen"]["accuracy"]["value"] > 0.95


@pytest.mark.parametrize(
    ("flags", "named"),
    [
        (["--weights", "nowhere.safetensors"], "nowhere.safetensors"),
        (["--scenes", "nowhere"], "nowhere"),
        (["--scenes", "{empty}"], "holds no scene"),
        (["--min-sst", "270"], "270"),
        (["--positive-weight", "0"], "--positive-weight"),
        (["--batch-size", "0"], "--batch-size"),
        (["--bayesian-screen", "x.npz"], "x.npz"),
    ],
)
def test_bad_input_is_one_sentence_and_nothing_is_written(
    tmp_path, weights, two_scenes, capsys, flags, named
):
    (tmp_path / "empty").mkdir()
    given = {"--weights": str(weights), "--scenes": str(two_scenes / "inference")}
    given |= {"--output": str(tmp_path / "out")}
    given |= {flags[0]: flags[1].format(empty=tmp_path / "empty")}
    assert main(["evaluate", *(part for pair in given.items() for part in pair)]) == 2
    message = capsys.readouterr().err
    assert named in message
    assert len(message.splitlines()) == 1
    assert not list((tmp_path / "out").glob("*"))


def test_training_scene_without_label_is_named(tmp_path, weights, capsys):
    write_scene(tmp_path / product_name(0), bayes=None)
    command = ["evaluate", "--weights", str(weights), "--scenes", str(tmp_path)]
    assert main([*command, "--training-scenes", str(tmp_path)]) == 2
    assert "no label to learn from" in capsys.readouterr().err


def test_classes_without_their_meaning_are_not_used(synthetic_data, tmp_path):
    path = tmp_path / product_name(0)
    shutil.copy(list_scenes(synthetic_data, "inference")[0], path)
    assert read_pixel_features(path).sea.any()
    with h5py.File(path, "r+") as file:
        del file["surface"].attrs["flag_meanings"]
    assert read_pixel_features(path).sea is None
