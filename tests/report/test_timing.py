"""The sections about runs say in words what their figures show."""

import pytest

from cloudmask.report.blocks import Picture, Table
from cloudmask.report.comparison import comparison_section, system_rows
from cloudmask.report.runs import read_folder
from cloudmask.report.timing import learning_section, score, timing_section
from tests.report.run_logs import write_log


@pytest.fixture
def mixed(tmp_path):
    """One run that reached the target, one aborted, one broken off."""
    write_log(tmp_path / "result_0.txt")
    write_log(tmp_path / "result_1.txt", (0.7,), "aborted")
    write_log(tmp_path / "result_2.txt", (0.8,), None)
    return read_folder(tmp_path)


def test_failed_runs_are_shown_as_such(mixed):
    section = timing_section(mixed, "s")
    assert section.blocks[0].startswith("1 of 3 runs reached the target, in 25.0 s")
    table = next(block for block in section.blocks if isinstance(block, Table))
    assert [row[1] for row in table.rows] == ["success", "aborted", "unfinished"]
    assert [row[2] for row in table.rows] == ["25.0", "none, ended at 14.0", "-"]
    assert "result_1 aborted: accuracy is below the target" in section.blocks
    assert any("result_2.txt: 'run_stop' occurs 0 times" in str(b) for b in section.blocks)


def test_what_the_bars_show_is_said_and_tabled(mixed):
    picture = next(b for b in timing_section(mixed, "s").blocks if isinstance(b, Picture))
    assert "result_0, success: init 3.0 s, staging 2.0 s, training 20.0 s" in picture.alt
    assert "result_1, aborted" in picture.alt
    assert picture.numbers.rows[0] == [
        *("result_0", "success", "3.0", "2.0", "20.0", "2.0", "1.0", "25.0")
    ]


def test_bars_of_the_clock_start_at_zero_and_end_at_the_time_to_solution(mixed):
    picture = next(b for b in timing_section(mixed, "s").blocks if isinstance(b, Picture))
    first_run = [bar for bar in picture.figure.axes[0].patches if abs(bar.get_y()) < 0.5]
    edges = [(bar.get_x(), bar.get_x() + bar.get_width()) for bar in first_run]
    assert edges[0] == pytest.approx((-3, 0))
    assert edges[-1][1] == pytest.approx(25)


def test_curves_of_all_runs_are_drawn_those_that_missed_the_target_dashed(mixed):
    (picture,) = learning_section(mixed, "s").blocks
    lines = {line.get_label(): line for line in picture.figure.axes[0].lines}
    assert list(lines["run 0"].get_ydata()) == [0.85, 0.91]
    assert [lines[f"run {n}"].get_linestyle() for n in range(3)] == ["-", "--", "--"]
    assert "0.850 after epoch 1, 0.910 after epoch 2" in picture.alt
    assert len(picture.numbers.rows) == 4


def test_runs_that_were_never_evaluated_have_no_curves(tmp_path):
    write_log(tmp_path / "result_0.txt", (), None)
    section = learning_section(read_folder(tmp_path), "s")
    assert section.blocks == ["No run got as far as an evaluation."]


def test_synthetic_data_are_called_so(tmp_path):
    write_log(tmp_path / "result_0.txt")
    assert any("nothing about" in str(b) for b in timing_section(read_folder(tmp_path), "s").blocks)
    write_log(tmp_path / "result_0.txt", dataset="ds1")
    assert not any(
        "nothing about" in str(b) for b in timing_section(read_folder(tmp_path), "s").blocks
    )


def test_score_of_five_runs_leaves_out_the_fastest_and_the_slowest(tmp_path):
    for number, seconds in enumerate((1, 10, 20, 30, 500)):
        write_log(tmp_path / f"result_{number}.txt", (0.95,), epoch_seconds=seconds)
    runs = list(read_folder(tmp_path).runs)
    assert score(runs) == pytest.approx(20 + 4)
    assert score(runs[:2]) == pytest.approx(5.5 + 4)
    assert score([]) is None


def test_systems_are_compared_within_a_data_set_and_published_figures_are_marked(tmp_path):
    for name, dataset, seconds in (("A", "ds1", 100), ("B", "ds1", 200), ("C", "synthetic", 5)):
        write_log(
            tmp_path / name / "result_0.txt",
            (0.95,),
            platform=name,
            dataset=dataset,
            epoch_seconds=seconds - 4,
        )
    rows = system_rows([read_folder(tmp_path / name) for name in "ABC"])
    assert [row.system for row in rows][:2] == ["A", "B"]
    assert [row.ratio for row in rows] == pytest.approx([1, 2, 35.4, None, 1])
    _, ds1, synthetic = comparison_section(rows).blocks
    assert ds1.rows[1][:6] == ["B", "1", "200.0", "200.0 to 200.0", "1.0", "2.00"]
    assert [row[0].endswith("(published)") for row in ds1.rows] == [False, False, True, True]
    assert [row[0] for row in synthetic.rows] == ["C"]
