"""What the report reads of logs, whole ones and others."""

import math
import re
from pathlib import Path

import pytest

from cloudmask.errors import InputError
from cloudmask.report.runs import Run, read_folders
from tests.report.run_logs import write_log


def read_run(path: Path) -> Run:
    """The only run of a folder."""
    ((run,),) = (folder.runs for folder in read_folders([path]))
    return run


def test_phases_on_the_clock_add_up_to_the_time_to_solution(tmp_path):
    run = read_run(write_log(tmp_path / "result_0.txt"))
    assert run.summary.time_to_solution == 25
    expected = {"init": 3, "staging": 2, "training": 20, "evaluation": 2, "rest": 1}
    assert run.phases == pytest.approx(expected)


def test_epochs_tell_when_and_how_well(tmp_path):
    first, last = read_run(write_log(tmp_path / "result_0.txt")).epochs
    assert (first.number, first.seconds, first.accuracy) == (1, 14, 0.85)
    assert (last.number, last.seconds) == (2, 25)
    assert last.wbce == pytest.approx(0.09)


def test_aborted_run_is_no_solution(tmp_path):
    run = read_run(write_log(tmp_path / "result_0.txt", (0.7, 0.8), "aborted"))
    assert run.status == "aborted"
    assert run.checked.reasons[0] == "aborted: accuracy is below the target"
    assert not run.reached_target


def test_log_that_breaks_off_is_unfinished_and_keeps_what_it_tells(tmp_path):
    run = read_run(write_log(tmp_path / "result_0.txt", status=None))
    assert run.status == "unfinished"
    assert "run_stop" in run.checked.reasons[0]
    assert run.phases["training"] == 20
    assert "rest" not in run.phases
    assert len(run.epochs) == 2


def test_line_cut_in_the_middle_leaves_the_rest_readable(tmp_path):
    path = write_log(tmp_path / "result_0.txt")
    text = path.read_text()
    path.write_text(text[: text.index('"run_stop"') + 3])
    run = read_run(path)
    assert not run.reached_target
    assert [epoch.accuracy for epoch in run.epochs] == [0.85, 0.91]


@pytest.mark.parametrize("value", ["NaN", "Infinity", "1e300", '"x"', "1" + 400 * "0"])
def test_numbers_that_cannot_be_right_are_left_out(tmp_path, value):
    path = write_log(tmp_path / "result_0.txt")
    text = path.read_text()
    path.write_text(text.replace('"value": 0.85,', f'"value": {value},'))
    assert [epoch.number for epoch in read_run(path).epochs] == [2]
    stop = next(line for line in text.splitlines() if '"run_stop"' in line)
    damaged = re.sub(r'"time_ms": \d+', f'"time_ms": {value}', stop)
    path.write_text(text.replace(stop, damaged))
    run = read_run(path)
    assert not run.reached_target
    assert run.checked.reasons


def test_evaluation_without_start_or_entropy_has_neither(tmp_path):
    path = write_log(tmp_path / "result_0.txt")
    kept = [line for line in path.read_text().splitlines() if "run_start" not in line]
    path.write_text("\n".join(line for line in kept if "eval_wbce" not in line))
    (epoch, _) = read_run(path).epochs
    assert math.isnan(epoch.seconds)
    assert math.isnan(epoch.wbce)


def test_runs_of_a_folder_come_by_number_under_the_name_of_their_system(tmp_path):
    for number in (10, 9, 2):
        write_log(tmp_path / f"result_{number}.txt", platform="DGX2")
    (folder,) = read_folders([tmp_path])
    assert [run.name for run in folder.runs] == ["result_2", "result_9", "result_10"]
    assert folder.name == "DGX2"
    assert folder.logged("dataset") == ["synthetic"]


def test_logs_at_any_depth_are_told_apart_by_their_folders_and_judged_together(tmp_path):
    for system in ("A", "B"):
        write_log(tmp_path / system / "result_0.txt", platform="DGX2")
    first, second = read_folders([tmp_path])
    assert (first.path, second.path) == (tmp_path / "A", tmp_path / "B")
    said = f"seed 7 is that of {tmp_path}/A/result_0.txt"
    assert said not in first.runs[0].checked.reasons
    assert said in second.runs[0].checked.reasons


@pytest.mark.parametrize("content", [None, "no log\n"])
def test_folder_without_a_log_of_a_run_is_refused_by_name(tmp_path, content):
    folder = tmp_path / "empty"
    folder.mkdir()
    if content is not None:
        (folder / "result_0.txt").write_text(content)
    with pytest.raises(InputError, match="empty: holds no"):
        read_folders([folder])
    with pytest.raises(InputError, match="nowhere: no such folder"):
        read_folders([tmp_path / "nowhere"])
