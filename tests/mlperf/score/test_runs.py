"""Which runs are valid, and why the others are not."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from cloudmask.errors import InputError
from cloudmask.mlperf.score.runs import find_logs, read_run, read_runs
from tests.mlperf.run_events import Event, Run
from tests.mlperf.timed_logs import COMMIT, miss_the_target, set_value, write_runs


def profiled(run: Run) -> None:
    """As events.py logs it."""
    run.insert(run.at("init_stop"), Event("event", "profiled", True))


def resumed(run: Run) -> None:
    """The mark of a run that went on from a checkpoint."""
    run.insert(run.at("epoch_start"), Event("event", "resumed", {"epoch_num": 1}))


def test_a_run_that_keeps_the_rules_counts(tmp_path: Path) -> None:
    run = read_run(write_runs(tmp_path, [90.5])[0])
    assert run.valid
    assert run.summary is not None
    assert run.summary.time_to_solution == 90.5


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (miss_the_target, "aborted: accuracy 0.89 after 3 epochs"),
        (resumed, "resumed from a checkpoint"),
        (profiled, "profiled"),
        (
            set_value("submission_github_commit_version", f"{COMMIT}-dirty"),
            "its source differed from the commit (dirty tree)",
        ),
        (
            set_value("submission_github_commit_version", "unknown"),
            "the commit of its source is not known (doctor says why)",
        ),
    ],
)
def test_a_run_that_breaks_a_rule_does_not_count_and_says_why(
    tmp_path: Path, spoil: Callable, reason: str
) -> None:
    run = read_run(write_runs(tmp_path, [90], spoil)[0])
    assert run.reasons == (reason,)


def test_a_run_only_missed_the_target_if_there_is_no_other_reason(tmp_path: Path) -> None:
    run = read_run(write_runs(tmp_path, [90], miss_the_target)[0])
    assert (run.valid, run.failed) == (False, True)
    assert not replace(run, reasons=(*run.reasons, "profiled")).failed
    valid = read_run(write_runs(tmp_path / "valid", [90])[0])
    assert (valid.valid, valid.failed) == (True, False)
    assert not replace(valid, reasons=("profiled",)).failed


def test_a_killed_run_has_failed(tmp_path: Path) -> None:
    """Its log ends with the last event that it could write."""
    (path,) = write_runs(tmp_path, [90])
    lines = path.read_text().splitlines(keepends=True)
    stop = next(index for index, line in enumerate(lines) if '"run_stop"' in line)
    path.write_text("".join(lines[:stop]))
    run = read_run(path)
    assert (run.valid, run.failed) == (False, True)
    assert run.reasons == (
        "unfinished: the log ends without run_stop: the run was killed, or it goes on",
    )


def test_a_log_that_the_checker_refuses_does_not_count(tmp_path: Path) -> None:
    run = read_run(write_runs(tmp_path, [90], set_value("patch_size", 128))[0])
    assert not run.valid
    assert run.reasons[0].startswith("refused by check: patch_size, line ")


def test_a_run_that_took_no_time_does_not_count(tmp_path: Path) -> None:
    run = read_run(write_runs(tmp_path, [0])[0])
    assert "took 0.000 s from run_start to run_stop" in run.reasons


def test_of_two_runs_with_one_seed_the_first_counts(tmp_path: Path) -> None:
    paths = write_runs(tmp_path, [90, 91, 92])
    paths += write_runs(tmp_path / "again", [80])
    runs = read_runs(paths)
    assert [run.valid for run in runs] == [True, True, True, False]
    assert runs[3].reasons == (f"seed 100 is that of {paths[0]}",)


def test_one_seed_may_serve_two_recipes(tmp_path: Path) -> None:
    paths = write_runs(tmp_path / "a", [90])
    paths += write_runs(tmp_path / "b", [80], set_value("recipe", "fast"))
    assert all(run.valid for run in read_runs(paths))


def test_a_truncated_log_is_named_and_does_not_hide_the_others(tmp_path: Path) -> None:
    paths = write_runs(tmp_path, [90, 91])
    paths[0].write_text("".join(paths[0].read_text().splitlines(keepends=True)[:15]))
    damaged, whole = read_runs(paths)
    assert damaged.summary is None
    assert damaged.reasons[0].startswith(f"{paths[0]}: 'run_start' occurs 0 times")
    assert whole.valid


def test_logs_are_found_at_any_depth_in_the_order_of_their_numbers(tmp_path: Path) -> None:
    names = ["b/result_10.txt", "b/result_9.txt", "a/deep/result-0.txt"]
    for name in [*names, "a/results.txt", "a/result_1.txt.bak"]:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    found = [str(path.relative_to(tmp_path)) for path in find_logs([tmp_path])]
    assert found == ["a/deep/result-0.txt", "b/result_9.txt", "b/result_10.txt"]


def test_a_folder_without_logs_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"holds no result_N\.txt"):
        find_logs([tmp_path])
    with pytest.raises(InputError, match="nothing: no such folder"):
        find_logs([tmp_path / "nothing"])
