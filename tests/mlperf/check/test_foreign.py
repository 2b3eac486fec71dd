"""Logs that others wrote: official ones of other benchmarks, and those of the reference."""

from __future__ import annotations

import gzip
from collections.abc import Callable
from pathlib import Path

import pytest

from cloudmask.cli import main
from cloudmask.errors import EXIT_INPUT
from cloudmask.mlperf.check.command import check
from cloudmask.mlperf.check.foreign import is_reference_log
from cloudmask.mlperf.check.forensics import examine
from cloudmask.mlperf.score.reference_logs import ReferenceRun, read_reference_log
from tests.mlperf.check.spoiled_runs import value
from tests.mlperf.log_text import find, good_log
from tests.mlperf.run_events import complete_run

Real = Callable[[str], Path]
OFFICIAL = {
    "v2.0_dell_deepcam_result_0.txt": "deepcam",
    "v3.0_clemson_openfold_result_0.txt": "openfold",
    "v3.0_lbnl_deepcam_result_1.txt": "deepcam",
    "v3.0_nvidia_deepcam_result_0.txt": "deepcam",
}
TIMES = {"a100": (2421.472, 103.181), "v100": (3152.619, 63.131)}  # seconds


def log_of(folder: Path, benchmark: str) -> Path:
    """A whole log in which only the name of the benchmark is another."""
    run = complete_run("open")
    value("submission_benchmark", benchmark)(run)
    return run.write(folder / "result_0.txt")


@pytest.mark.parametrize(("name", "benchmark"), OFFICIAL.items())
def test_an_official_log_has_one_reason_and_no_warning(
    real: Real, name: str, benchmark: str
) -> None:
    report = check(real(f"mlperf/{name}"))
    assert not report.accepted
    (violation,) = report.violations
    assert violation.problem.startswith(f"is {benchmark!r}, expected 'cloudmask': a log of another")
    assert report.warnings == []


def test_a_log_of_another_benchmark_has_one_reason(tmp_path: Path) -> None:
    report = check(log_of(tmp_path, "deepcam"))
    assert [x.key for x in report.violations] == ["submission_benchmark"]
    assert "mlperf_logging.compliance_checker --usage hpc" in report.violations[0].problem
    assert report.warnings == []


def test_a_log_of_two_benchmarks_is_examined(tmp_path: Path) -> None:
    path = log_of(tmp_path, "deepcam")
    with path.open("a") as file:
        file.write(complete_run("open").write(tmp_path / "other.txt").read_text())
    assert len(check(path).violations) > 1


@pytest.mark.parametrize("card", TIMES)
def test_a_reference_log_is_named_and_its_times_are_read(real: Real, card: str) -> None:
    path = real(f"reference_logs/mlperf_cloudmask_{card}_50.log")
    report = check(path)
    (violation,) = report.violations
    assert "a log of the reference implementation, which has no clock" in violation.problem
    assert report.warnings == []
    training, inference = TIMES[card]
    assert read_reference_log(path) == ReferenceRun("STFC", 2, training, inference)


def test_a_reference_log_stands_beside_the_published_figures(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = log_of(tmp_path, "CloudMask")
    assert is_reference_log(path)
    assert main(["compare", str(path)]) == 0
    found = capsys.readouterr()
    (_, note) = found.out.split(path.name)  # in the table
    note = " ".join(note.split())
    assert "log of the reference implementation, " in note
    assert "no accuracy is logged, so no time to solution" in note
    assert found.err == ""


def test_compare_names_a_log_that_it_cannot_read(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = log_of(tmp_path, "openfold")
    lines = path.read_text().splitlines(keepends=True)
    path.write_text("".join(line for line in lines if '"run_start"' not in line))
    assert main(["compare", str(path)]) == EXIT_INPUT
    assert f"not read: {path}: submission_benchmark, line 1: is 'openfold'" in (
        capsys.readouterr().err
    )


@pytest.mark.parametrize(
    ("encode", "what"),
    [
        (lambda text: gzip.compress(text.encode()), "compressed by gzip"),
        (lambda text: text.encode("utf-16"), "UTF-16 text"),
        (lambda text: text.encode("utf-16-le"), "UTF-16 text"),
        (lambda text: text.encode("utf-16-be"), "UTF-16 text"),
    ],
)
def test_a_log_in_another_form_is_named(
    tmp_path: Path,
    encode: Callable[[str], bytes],
    what: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    path = tmp_path / "result_0.txt"
    path.write_bytes(encode("\n".join(map(str, good_log("a")))))
    (violation,) = check(path).violations
    assert violation.problem.startswith(f"the file is {what}")
    assert main(["summarize", str(path)]) == EXIT_INPUT
    assert f"{path}: the file is {what}" in capsys.readouterr().out


def test_without_a_target_of_its_own_a_log_has_that_of_the_benchmark(tmp_path: Path) -> None:
    """Else every evaluation would count as one that met the target."""
    lines = good_log("a")
    (target,) = find(lines, "target_accuracy")
    path = tmp_path / "result_0.txt"
    path.write_text("\n".join(map(str, lines[:target] + lines[target + 1 :])) + "\n")
    report = examine(path)
    assert (report.violations, report.warnings) == ([], [])
