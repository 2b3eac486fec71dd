"""Convergence points: made of logs, read by the official checker, and early runs warned of."""

import io
import json
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from mlperf_logging.rcp_checker import rcp_checker

from benchmarks.rcps import points
from cloudmask.errors import InputError
from cloudmask.mlperf.check.rcp import early_convergence, p_value
from cloudmask.mlperf.score.runs import read_runs
from tests.mlperf.timed_logs import miss_the_target, set_value, unchecked, write_runs
from tests.paths import ROOT

EPOCHS = [6, 7, 5, 6, 6, 8, 5, 6, 7, 6]


def write_reference(folder: Path, *spoils: Callable) -> list[Path]:
    """Ten runs of the reference recipe."""
    times = [100 + number for number in range(len(EPOCHS))]
    return write_runs(folder, times, *spoils, epochs=EPOCHS)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The points of ten runs, made by the command."""
    folder = tmp_path_factory.mktemp("points")
    write_reference(folder / "runs")
    output = folder / "rcps_cloudmask.json"
    command = [sys.executable, "-m", "benchmarks.rcps", str(folder / "runs")]
    command += ["--output", str(output)]
    subprocess.run(command, cwd=ROOT, check=True, timeout=100)
    return output


def official_epochs_needed(made: Path, monkeypatch: pytest.MonkeyPatch) -> float:
    """The least mean of five runs that the official checker accepts by these points."""
    monkeypatch.setitem(rcp_checker.submission_runs["hpc"], "cloudmask", 5)
    with made.open() as file:
        checker = rcp_checker.RCP_Checker("hpc", "3.0.0", "cloudmask", False, file)
    (record,) = checker.rcp_data.values()
    assert record["BS"] == 64
    return float(record["Min Epochs"])


def test_points_are_those_of_the_logs_and_the_official_checker_reads_them(
    made: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (record,) = json.loads(made.read_text()).values()
    assert record["Epochs to converge"] == EPOCHS
    assert (record["Dataset"], record["Train samples"], record["BS"]) == ("ds1", 15488, 64)
    assert record["Hyperparams"]["opt_base_learning_rate"] == 0.001
    assert 4.5 < official_epochs_needed(made, monkeypatch) < 6.2


@pytest.mark.parametrize("reference", [EPOCHS, [6, 6, 6, 6, 6, 6, 6, 6, 6, 14], [3, 4, 4, 5]])
@pytest.mark.parametrize("epochs", [1, 3, 5, 6, 7, 9])
def test_the_p_value_is_that_of_the_official_checker(
    reference: list[int], epochs: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(rcp_checker.submission_runs["hpc"], "cloudmask", 5)
    point = {"Benchmark": "cloudmask", "BS": 4, "Hyperparams": {}, "Epochs to converge": reference}
    file = io.StringIO(json.dumps({"a point": point}))
    checker = rcp_checker.RCP_Checker("hpc", "3.0.0", "cloudmask", False, file)
    (record,) = checker.rcp_data.values()
    _, official = checker._find_p_value(
        *(epochs, 0.0, 1), *(record["RCP Mean"], record["RCP Stdev"], len(reference) - 2)
    )
    assert p_value(epochs, reference) == pytest.approx(official, rel=1e-12)


@pytest.mark.parametrize(
    ("reference", "warned"),
    [
        ([8, 9, 7, 8, 5, 7, 4, 9, 7, 6], True),  # p = 0.0495
        ([6, 8, 7, 4, 6, 5, 8, 8, 9, 7], False),  # p = 0.0538
    ],
)
def test_a_run_is_early_below_a_p_value_of_5_per_cent(
    tmp_path: Path, made: Path, reference: list[int], warned: bool
) -> None:
    points = json.loads(made.read_text())
    for record in points.values():
        record["Epochs to converge"] = reference
    other = tmp_path / "points.json"
    other.write_text(json.dumps(points))
    assert bool(judge(tmp_path, other, 4)) == warned


def judge(folder: Path, made: Path, epochs: int, *spoils: Callable) -> Sequence[str]:
    """The warnings about one run, by the points."""
    (path,) = write_runs(folder, [100], *spoils, epochs=[epochs])
    return early_convergence(path, made)


def test_an_implausibly_early_run_is_warned_of_and_a_plausible_one_is_not(
    tmp_path: Path, made: Path
) -> None:
    (warning,) = judge(tmp_path / "early", made, 2)
    assert warning.startswith("the target was met after 2 epochs, implausibly early: 10 runs")
    assert "took 6.1" in warning
    for epochs in (5, 6, 12):
        assert not judge(tmp_path / str(epochs), made, epochs)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("recipe", "fast"),
        ("global_batch_size", 512),
        ("train_samples", 15520),
        ("target_accuracy", 0.91),
        ("dataset", "custom"),
    ],
)
def test_points_do_not_apply_to_runs_that_differ(
    tmp_path: Path, made: Path, key: str, value: Any
) -> None:
    assert not judge(tmp_path, made, 2, set_value(key, value))


def test_runs_that_all_took_the_same_allow_no_fewer(tmp_path: Path) -> None:
    paths = write_runs(tmp_path / "runs", [100] * 10, epochs=[4] * 10)
    made = tmp_path / "points.json"
    made.write_text(json.dumps(points(unchecked(paths))))
    assert judge(tmp_path / "3", made, 3)
    assert not judge(tmp_path / "4", made, 4)


def test_without_points_there_is_no_warning(tmp_path: Path) -> None:
    assert not judge(tmp_path, tmp_path / "none.json", 1)


def test_two_batch_sizes_make_two_points(tmp_path: Path) -> None:
    paths = write_reference(tmp_path / "a")
    paths += write_reference(tmp_path / "b", set_value("global_batch_size", 128))
    made = points(unchecked(paths))
    assert [record["BS"] for record in made.values()] == [64, 128]


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (set_value("recipe", "fast"), "not the reference recipe"),
        (set_value("seed", 5), r"result_9\.txt: seed 5 is that of .*result_0\.txt"),
    ],
)
def test_logs_that_cannot_be_part_of_a_point_are_refused_by_name(
    tmp_path: Path, spoil: Callable, reason: str
) -> None:
    paths = write_reference(tmp_path, spoil)
    with pytest.raises(InputError, match=reason):
        points(unchecked(paths))


def test_a_run_that_missed_the_target_is_refused_and_not_left_out(tmp_path: Path) -> None:
    runs = unchecked(write_reference(tmp_path / "good"))
    runs += read_runs(write_runs(tmp_path / "bad", [90], miss_the_target, first_seed=200))
    with pytest.raises(InputError, match=r"bad/result_0\.txt: aborted"):
        points(runs)


def test_too_few_runs_are_refused(tmp_path: Path) -> None:
    paths = write_reference(tmp_path)[:9]
    with pytest.raises(InputError, match="9 runs, a point takes 10"):
        points(unchecked(paths))
