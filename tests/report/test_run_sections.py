"""The sections about runs say in words what their figures show."""

import pytest

from cloudmask.mlperf.score.compare import comparison_rows
from cloudmask.mlperf.score.runs import find_logs
from cloudmask.report import run_sections
from cloudmask.report.blocks import FigureBlock
from cloudmask.report.run_sections import learning_section, timing_section
from cloudmask.report.runs import read_folders
from cloudmask.report.systems_section import comparison_section
from cloudmask.synthetic import SYNTHETIC_NOTICE
from tests.mlperf.timed_logs import set_value, unchecked, write_runs
from tests.report.run_logs import write_log


@pytest.fixture
def mixed(tmp_path):
    """One run that reached the target, one aborted, one broken off."""
    write_log(tmp_path / "result_0.txt")
    write_log(tmp_path / "result_1.txt", (0.7,), "aborted")
    write_log(tmp_path / "result_2.txt", (0.8,), None)
    (folder,) = read_folders([tmp_path])
    return folder


def test_failed_runs_are_shown_as_such(mixed):
    table, sentence, *_ = timing_section(mixed, "s").blocks
    assert [row[1] for row in table.table.rows] == ["success", "aborted", "unfinished"]
    ends = ["25.0", "none, ended at 14.0", "none, ended at 14.0"]
    assert [row[3] for row in table.table.rows] == ends
    assert table.table.notes[1].startswith("aborted: accuracy is below the target; ")
    assert table.table.notes[2].startswith("unfinished: the log ends without run_stop: ")
    assert sentence == "No score: none of 3 runs counts."


def test_folder_without_a_whole_run_has_no_score(tmp_path):
    write_log(tmp_path / "result_0.txt", before="run_start")
    section = timing_section(*read_folders([tmp_path]), "s")
    assert section.blocks[0] == "No score: no log is that of a whole run."


def test_what_the_bars_show_is_said_and_tabled(mixed):
    picture = next(b for b in timing_section(mixed, "s").blocks if isinstance(b, FigureBlock))
    assert "result_0, success: init 3.0 s, staging 2.0 s, training 20.0 s" in picture.alt
    assert "result_1, aborted" in picture.alt
    assert picture.numbers.rows[0] == [
        *("result_0", "success", "3.0", "2.0", "20.0", "2.0", "1.0", "25.0")
    ]


def test_bars_of_the_clock_start_at_zero_and_end_at_the_time_to_solution(mixed):
    picture = next(b for b in timing_section(mixed, "s").blocks if isinstance(b, FigureBlock))
    first_run = [bar for bar in picture.figure.wide.axes[0].patches if abs(bar.get_y()) < 0.5]
    edges = [(bar.get_x(), bar.get_x() + bar.get_width()) for bar in first_run]
    assert edges[0] == pytest.approx((-3, 0))
    assert edges[-1][1] == pytest.approx(25)


def test_curves_of_all_runs_are_drawn_those_that_missed_the_target_dashed(mixed):
    (picture,) = learning_section(mixed, "s").blocks
    lines = {line.get_label(): line for line in picture.figure.wide.axes[0].lines}
    assert list(lines["run 0"].get_ydata()) == [0.85, 0.91]
    assert [lines[f"run {n}"].get_linestyle() for n in range(3)] == ["-", "--", "--"]
    assert "0.850 after epoch 1, 0.910 after epoch 2" in picture.alt
    assert len(picture.numbers.rows) == 4


def test_epochs_are_whole_numbers_on_the_axis(mixed):
    (picture,) = learning_section(mixed, "s").blocks
    for figure in (picture.figure.narrow, picture.figure.wide):
        figure.canvas.draw()
        low, high = figure.axes[1].get_xlim()
        ticks = [tick for tick in figure.axes[1].get_xticks() if low <= tick <= high]
        assert ticks == [1, 2]


def test_runs_of_one_epoch_are_a_table_and_no_curve(tmp_path):
    for number in range(2):
        write_log(tmp_path / f"result_{number}.txt", (0.91,))
    sentence, block = learning_section(*read_folders([tmp_path]), "s").blocks
    assert sentence.startswith("Each run was evaluated after one epoch only")
    assert [row[:2] for row in block.table.rows] == [["result_0", "1"], ["result_1", "1"]]
    assert not block.collapsed


def test_no_two_of_36_runs_look_the_same(tmp_path):
    for number in range(36):
        write_log(tmp_path / f"result_{number}.txt")
    (picture,) = learning_section(*read_folders([tmp_path]), "s").blocks
    labels = {f"run {number}" for number in range(36)}
    curves = [line for line in picture.figure.wide.axes[0].lines if line.get_label() in labels]
    assert len({(line.get_color(), line.get_marker()) for line in curves}) == 36


def test_of_many_runs_the_last_are_drawn_and_all_are_tabled(tmp_path, monkeypatch):
    monkeypatch.setattr(run_sections, "MOST_DRAWN", 2)
    for number in range(3):
        write_log(tmp_path / f"result_{number}.txt")
    (folder,) = read_folders([tmp_path])
    sections = (timing_section(folder, "s"), learning_section(folder, "s"))
    for section in sections:
        picture = next(b for b in section.blocks if isinstance(b, FigureBlock))
        assert picture.caption.endswith("The last 2 of 3 runs are drawn; the table has all.")
        assert "result_1" in picture.alt
        assert "result_0" not in picture.alt
        assert {row[0] for row in picture.numbers.rows} == {"result_0", "result_1", "result_2"}


def test_runs_that_were_never_evaluated_have_no_curves(tmp_path):
    write_log(tmp_path / "result_0.txt", (), None)
    section = learning_section(*read_folders([tmp_path]), "s")
    assert section.blocks == ["No run reached an evaluation."]


@pytest.mark.parametrize(("dataset", "said"), [("synthetic", True), ("ds1", False)])
def test_synthetic_data_are_called_so(tmp_path, dataset, said):
    write_log(tmp_path / "result_0.txt", dataset=dataset)
    assert (SYNTHETIC_NOTICE in timing_section(*read_folders([tmp_path]), "s").blocks) == said


def test_score_is_that_of_the_runs_that_count_and_of_the_others_the_reason_is_told(tmp_path):
    write_runs(tmp_path, [100, 103, 98, 101, 99])
    write_log(tmp_path / "result_5.txt", platform="DGX2_2x16")
    table, sentence, other, no_score, *_ = timing_section(*read_folders([tmp_path]), "s").blocks
    assert table.table.title.startswith("DGX2_2x16 (2 nodes x 16 accelerators, hardware not")
    assert [row[2] for row in table.table.rows] == ["yes"] * 5
    assert sentence.startswith("Score 100.0 s (95 % interval 96.8 to 103.3; ")
    assert other.table.rows[0][:3] == ["result_5", "success", "no"]
    assert other.table.notes == ["the commit of its source is not known (doctor says why)"]
    assert no_score == "No score: none of 1 run counts."


def test_energy_and_power_are_shown_where_a_log_has_them(tmp_path):
    write_runs(tmp_path, [10], set_value("submission_github_commit_version", "unknown"))
    (table, *_) = timing_section(*read_folders([tmp_path]), "s").blocks
    assert [*table.table.columns][-2:] == ["energy, kJ", "mean power, W"]
    assert table.table.rows[0][-2:] == ["90.00", "9000"]
    write_log(tmp_path / "result_0.txt")
    (table, *_) = timing_section(*read_folders([tmp_path]), "s").blocks
    assert table.table.columns[-1] == "seed"
    assert len(table.table.rows[0]) == len(table.table.columns)


def test_systems_are_ranked_within_a_benchmark_and_published_figures_stand_apart(tmp_path):
    for name, seconds in (("Slow", 100), ("Fast", 50)):
        write_runs(tmp_path / name, [seconds] * 5, set_value("submission_platform", name))
    write_runs(tmp_path / "Toy", [5], set_value("dataset", "synthetic"))
    rows = comparison_rows(unchecked(find_logs([tmp_path])))
    _, ds1, synthetic, published = comparison_section(rows).blocks
    assert ds1.table.columns[:2] == ["system", "rank"]
    assert [row[:2] for row in ds1.table.rows] == [["Fast", "1"], ["Slow", "2"]]
    assert "2.00" in ds1.table.rows[1]
    assert ds1.table.notes[0] == "reference recipe, commit 01234567"
    assert [row[0] for row in synthetic.table.rows] == ["DGX2_2x16"]
    assert all(remark.startswith("published; ") for remark in published.table.notes)
    for block in (ds1, synthetic, published):
        assert {len(row) for row in block.table.rows} == {len(block.table.columns)}
