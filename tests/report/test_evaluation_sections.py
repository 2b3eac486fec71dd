"""An evaluation as sections: the numbers of its JSON, in tables, figures and words."""

import json

import pytest

from cloudmask.errors import InputError
from cloudmask.report.blocks import FigureBlock, TableBlock
from cloudmask.report.evaluation_sections import evaluation_sections, read_evaluation
from tests.report.evaluations import write_evaluation


@pytest.fixture
def evaluation(evaluation_folder):
    return read_evaluation(evaluation_folder)


def section_of(report, anchor):
    return next(section for section in evaluation_sections(report) if section.anchor == anchor)


def tables_of(report):
    blocks = section_of(report, "evaluation").blocks
    return {block.table.title: block.table for block in blocks if isinstance(block, TableBlock)}


def picture_of(report, anchor, index=0):
    pictures = [
        block for block in section_of(report, anchor).blocks if isinstance(block, FigureBlock)
    ]
    return pictures[index]


def test_findings_notes_and_unused_scenes_are_told_in_full(evaluation):
    told = [
        block for block in section_of(evaluation, "evaluation").blocks if isinstance(block, str)
    ]
    assert set(evaluation["findings"]) <= set(told)
    assert set(evaluation["notes"]) <= set(told)
    assert "Not used: S3A_bad.hdf: the file is truncated at 12 bytes" in told


def test_scores_stand_in_a_table_for_each_reference(evaluation):
    tables = tables_of(evaluation)
    table = tables["Against truth, 6000 pixels"]
    accuracy = evaluation["references"]["truth"]["masks"]["network"]["accuracy"]["value"]
    assert table.rows[0][:2] == ["network", f"{accuracy:.4f}"]
    assert "SST consistency, no truth needed" in tables


def test_every_scene_and_mask_has_its_point(evaluation):
    picture = picture_of(evaluation, "scenes")
    lines = {line.get_label(): line for line in picture.figure.wide.axes[0].lines}
    for mask in ("network", "bayesian_screen", "threshold_screen", "bayes"):
        expected = [
            scene["references"]["truth"][mask]["accuracy"] for scene in evaluation["per_scene"]
        ]
        assert list(lines[mask].get_xdata()) == expected
    assert picture.numbers.rows[1][0] == "2019-10-02 11:32:21"


def test_scenes_of_one_sensing_time_are_all_shown(evaluation):
    evaluation["per_scene"] *= 2
    assert len(picture_of(evaluation, "scenes").numbers.rows) == 6


def test_probability_that_means_what_it_says_lies_on_the_diagonal(evaluation):
    picture = picture_of(evaluation, "calibration")
    diagonal, network = picture.figure.wide.axes[0].lines
    assert list(diagonal.get_xdata()) == list(diagonal.get_ydata())
    bins = evaluation["references"]["truth"]["reliability"]["network"]
    shares = [row["cloudy_share"] for row in bins if row["pixels"]]
    assert list(network.get_ydata()) == shares
    assert f"network: 0.12 is {shares[0]:.2f}, 0.83 is {shares[1]:.2f}." in picture.alt


def test_agreement_and_kappa_of_each_pair_are_said(evaluation):
    picture = picture_of(evaluation, "agreement")
    pair = evaluation["agreement"][0]
    agreement, kappa = (pair[name]["value"] for name in ("agreement", "kappa"))
    assert f"network and bayesian_screen: {agreement:.4f}, kappa {kappa:.4f}." in picture.alt
    drawn = [text.get_text() for text in picture.figure.wide.axes[0].texts]
    assert drawn[0] == f"{agreement:.3f}\n{kappa:.3f}"
    assert len(drawn) == len(picture.numbers.rows) == 6


def test_without_truth_the_label_is_the_reference(tmp_path):
    report = read_evaluation(write_evaluation(tmp_path / "evaluation", truth=False))
    assert "against the label" in picture_of(report, "scenes").caption
    assert "bayes" not in picture_of(report, "scenes").numbers.columns


def test_scores_that_are_not_defined_are_dashes(evaluation):
    evaluation["agreement"][0]["kappa"] = {"value": None, "low": None, "high": None, "scenes": 3}
    evaluation["references"]["truth"]["masks"]["network"]["accuracy"]["value"] = None
    evaluation["per_scene"][0]["references"]["truth"]["network"]["accuracy"] = None
    assert "kappa -." in picture_of(evaluation, "agreement").alt
    assert picture_of(evaluation, "scenes").numbers.rows[0][2] == "-"


def test_evaluation_that_cannot_be_read_is_named(tmp_path):
    (tmp_path / "evaluation.json").write_text('{"format": "something else"}')
    (tmp_path / "broken.json").write_text("{")
    for path, said in (
        (tmp_path / "nowhere.json", "nowhere.json: No such file"),
        (tmp_path / "broken.json", "broken.json is not JSON"),
        (tmp_path, "evaluation.json is not of the format"),
    ):
        with pytest.raises(InputError, match=said):
            read_evaluation(path)


def test_evaluation_without_a_part_is_refused(tmp_path, evaluation):
    del evaluation["agreement"]
    path = tmp_path / "evaluation.json"
    path.write_text(json.dumps(evaluation))
    with pytest.raises(InputError, match="'agreement'"):
        evaluation_sections(read_evaluation(path))
