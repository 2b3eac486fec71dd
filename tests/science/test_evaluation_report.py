"""The report of an evaluation: its numbers, findings and notes, in JSON and as text."""

import json
from dataclasses import replace

import numpy as np
import pytest

from cloudmask.science.evaluation_report import DEFINITIONS, evaluation_report
from cloudmask.science.scores import mask_scores
from cloudmask.science.text_report import text_report
from tests.report.evaluations import scene_sums

SETTINGS = {"weights": "weights"}


def report_on(scenes, unusable=None, **settings):
    return evaluation_report(scenes, unusable or {}, SETTINGS | settings)


@pytest.fixture
def scenes():
    return [scene_sums(number) for number in range(3)]


def test_report_is_json_with_the_parts_of_its_format(scenes):
    report = report_on(scenes, {"bad.hdf": "bad.hdf: truncated"})
    assert json.loads(json.dumps(report, allow_nan=False)) == report
    assert list(report) == [
        *("format", "settings", "scenes", "unusable", "findings", "notes", "references"),
        *("agreement", "sst", "per_scene", "definitions"),
    ]
    assert report["format"] == "cloudmask-evaluation-1"
    assert report["settings"] == SETTINGS
    assert report["scenes"] == [scene.name for scene in scenes]
    assert report["unusable"] == {"bad.hdf": "bad.hdf: truncated"}
    masks = report["references"]["truth"]["masks"]
    assert list(masks["network"]["accuracy"]) == ["value", "low", "high", "scenes"]
    assert {name for scores in masks.values() for name in scores} <= set(DEFINITIONS)
    assert set(report["sst"]["masks"]["network"]) <= set(DEFINITIONS)


def test_scores_are_over_the_pixels_of_all_scenes_and_rounded_to_six_decimals(scenes):
    part = report_on(scenes)["references"]["truth"]
    sums = sum(scene.sums["mask", "truth", "all", "all", "network"] for scene in scenes)
    expected = {name: round(float(score), 6) for name, score in mask_scores(sums).items()}
    found = {name: part["masks"]["network"][name]["value"] for name in expected}
    assert found == expected
    assert part["pixels"] == sums.sum() == 6000
    assert part["strata"]["time"]["day"]["pixels"] == 6000
    assert (
        part["strata"]["time"]["day"]["masks"]["network"]["accuracy"]["value"]
        == (expected["accuracy"])
    )
    assert sum(row["pixels"] for row in part["reliability"]["network"]) == 6000


def test_differences_are_network_minus_mask_over_the_scenes_that_have_both(scenes):
    del scenes[0].sums["mask", "truth", "all", "all", "bayes"]
    found = report_on(scenes)["references"]["truth"]["differences"]
    assert list(found) == ["bayesian_screen", "threshold_screen", "bayes"]
    both = [scene.sums for scene in scenes[1:]]
    network, bayes = (
        mask_scores(sum(sums["mask", "truth", "all", "all", mask] for sums in both))
        for mask in ("network", "bayes")
    )
    expected = float(network["accuracy"] - bayes["accuracy"])
    assert found["bayes"]["accuracy"]["value"] == pytest.approx(expected, abs=1e-6)
    assert found["bayes"]["accuracy"]["scenes"] == 2
    assert found["threshold_screen"]["accuracy"]["scenes"] == 3


def test_scores_of_each_scene_are_its_own(scenes):
    found = report_on(scenes)["per_scene"][1]
    expected = mask_scores(scenes[1].sums["mask", "truth", "all", "all", "network"])
    of_network = found["references"]["truth"]["network"]
    assert of_network["accuracy"] == round(float(expected["accuracy"]), 6)
    assert set(of_network) >= {"brier", "wbce", "calibration_error"}
    assert found["scene"] == scenes[1].name
    assert found["day_share"] == 1
    assert found["sst"]["network"]["coverage"] == pytest.approx(0.5, abs=0.1)


def many_scenes(number=12):
    """Scenes in which the network is worse than `bayes` and, on average, equal to `summary`."""
    rng = np.random.default_rng(0)
    scenes = []
    for index in range(number):
        scene = scene_sums(index)
        right = rng.integers(700, 750)
        network = np.array([right, 100, 100, 900 - right], float)
        noise = 9 * (-1) ** index
        for mask, change in {
            "network": (0, 0, 0, 0),
            "bayes": (80, -40, -40, 0),
            "summary": (noise, -noise, 0, 0),
        }.items():
            scene.sums["mask", "truth", "all", "all", mask] = network + change
        scenes.append(scene)
    return scenes


def test_differences_that_exclude_zero_are_findings_and_others_are_not():
    findings = report_on(many_scenes())["findings"]
    expected = "against truth: accuracy of the network differs from that of bayes by -0.0"
    assert any(each.startswith(expected) for each in findings)
    assert "summary" not in "".join(findings)
    assert not any("precision" in each or "label" in each for each in findings)
    assert any(each.startswith("SST consistency: coverage of the network") for each in findings)


def test_fewer_than_ten_scenes_support_no_finding():
    (finding,) = report_on(many_scenes(9))["findings"]
    assert finding == "No findings from 9 scenes; evaluate 10 or more."
    assert report_on(many_scenes(9))["notes"][0].startswith("Intervals from 9 scenes are uninform")
    assert len(report_on(many_scenes(10))["findings"]) > 1
    assert "uninformative" not in "".join(report_on(many_scenes(10))["notes"])


def test_equal_masks_give_no_finding():
    scenes = [scene_sums(0) for _ in range(10)]
    for scene in scenes:
        for key in list(scene.sums):
            if key[0] in ("mask", "sst"):
                scene.sums[key] = scene.sums[(*key[:-1], "network")]
    assert report_on(scenes)["findings"] == [
        "No interval of a difference excludes zero: there are no findings."
    ]


@pytest.mark.parametrize("truth", [True, False])
def test_notes_say_what_the_references_can_show(truth):
    notes = report_on([scene_sums(0, truth)])["notes"]
    assert any("The label is the operational Bayesian mask itself" in note for note in notes)
    assert any("The truth is that of synthetic scenes" in note for note in notes) == truth
    assert any("No scene has a truth" in note for note in notes) != truth


def test_notes_warn_of_a_screen_that_was_fitted_to_the_evaluated_scenes(scenes):
    notes = report_on(scenes, scenes_also_trained_on=[scenes[0].name])["notes"]
    assert any("fitted to scenes of this evaluation" in note for note in notes)
    assert not any("fitted to scenes" in note for note in report_on(scenes)["notes"])


def test_notes_say_how_to_get_a_bayesian_screen_and_which_scenes_lack_its_masks(scenes):
    assert any("give --training-scenes" in note for note in report_on(scenes)["notes"])
    kept = {key: sums for key, sums in scenes[0].sums.items() if "bayesian_screen" not in key}
    scenes[0] = replace(scenes[0], sums=kept)
    for setting in ({"training_scenes": "folder"}, {"bayesian_screen": "screen.npz"}):
        notes = report_on(scenes, **setting)["notes"]
        assert any("Bayesian screen for 1 scene with pixels of a time" in note for note in notes)
        assert not any("--training-scenes" in note for note in notes)
        whole = report_on(scenes[1:], **setting)["notes"]
        assert not any("Bayesian screen" in note for note in whole)


def test_notes_count_the_scenes_whose_surface_is_unknown(scenes):
    scenes[1] = replace(scenes[1], surface_known=False)
    assert any("The surface is unknown in 1 scene:" in note for note in report_on(scenes)["notes"])
    assert not any("surface" in note for note in report_on(scenes[:1])["notes"])


def test_undefined_scores_are_null_and_a_dash(scenes):
    for scene in scenes:
        scene.sums["mask", "truth", "all", "all", "bayes"] = np.array([2000.0, 0, 0, 0])
        scene.sums["agreement", "network", "bayes"] = np.array([2000.0, 0, 0, 0])
    report = report_on(scenes)
    scores = report["references"]["truth"]["masks"]["bayes"]
    assert scores["accuracy"]["value"] == 1
    assert scores["balanced_accuracy"]["value"] is None
    assert None in [pair["kappa"]["value"] for pair in report["agreement"]]
    rows = [line.split() for line in text_report(report).splitlines()]
    assert ["bayes", "1.0000", *"----", "-"[:0] or "-"][:2] in [row[:2] for row in rows]


def test_text_has_every_table_finding_note_and_unused_scene(scenes):
    report = report_on(scenes, {"bad.hdf": "bad.hdf: truncated"})
    text = text_report(report)
    for title in (
        "3 scenes, weights",
        "not used: bad.hdf: truncated",
        "against truth, 6000 pixels",
        "network minus mask, against truth",
        "accuracy by stratum, against label",
        "cloudy share by probability, against label",
        "accuracy by scene, against truth",
        "SST consistency, no truth needed",
        "network minus mask, SST consistency",
        "agreement of two masks",
    ):
        assert f"{title}\n" in text
    for sentence in (*report["findings"], *report["notes"]):
        assert f"- {sentence}\n" in text
    difference = report["references"]["truth"]["differences"]["bayes"]["accuracy"]
    value, low, high = (difference[part] for part in ("value", "low", "high"))
    assert f"{value:+.4f} ({low:+.4f} to {high:+.4f})" in text
    stratum = report["references"]["label"]["strata"]["time"]["day"]["masks"]["network"]
    row = next(line for line in text.splitlines() if line.startswith("time: day"))
    assert row.split()[2] == "6000"
    assert f"{stratum['accuracy']['value']:.4f}" in text
