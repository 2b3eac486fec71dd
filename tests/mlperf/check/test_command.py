"""The report and the exit code of `check`."""

import hashlib
import os
import re
import subprocess
import sys
import sysconfig
import tempfile
import venv
from importlib.util import find_spec
from pathlib import Path

import pytest

from cloudmask.cli import main
from cloudmask.errors import EXIT_INPUT, InputError
from cloudmask.mlperf.check.command import check, check_files
from cloudmask.mlperf.check.official_tools import RULES, mlperf_logging_overlay
from cloudmask.mlperf.check.violation import Violation
from cloudmask.mlperf.score.runs import read_run
from tests.mlperf.check.spoiled_runs import metadata, named_keys, value
from tests.mlperf.run_events import complete_run
from tests.paths import ROOT


def test_a_violation_says_where_and_what(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = complete_run("open")
    value("patch_size", 128)(run)
    metadata("run_stop", status="aborted")(run)
    good = complete_run("open").write(tmp_path / "good.txt")
    bad = run.write(tmp_path / "bad.txt")
    # Other output among the events: line numbers are those of the file.
    bad.write_text("a line of other output\n" + bad.read_text())
    assert check_files([good, bad]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == f"SUCCESS  {good}"
    patch_line, stop_line = run.at("patch_size") + 2, run.at("run_stop") + 2
    heads = {
        f"  patch_size, line {patch_line}: failed test: v['value'] == 256",
        f"  run_stop, line {stop_line}: failed test: v['metadata']['status'] == 'success'",
    }
    assert {lines[1], lines[3]} == heads
    assert lines[2].startswith("    :::MLLOG {")
    assert lines[5:] == [f"FAILED  {bad}: 2 violations"]


def test_accepted_files_give_exit_code_0(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = complete_run("open").write(tmp_path / "result_0.txt")
    assert check_files([path]) == 0
    assert capsys.readouterr().out == f"SUCCESS  {path}\n"


@pytest.mark.parametrize("content", ["", "no events here\n", "\x00\xff" * 100])
def test_a_file_without_events_is_refused(tmp_path: Path, content: str) -> None:
    path = tmp_path / "result_0.txt"
    path.write_text(content)
    report = check(path)
    assert not report.accepted
    (violation,) = report.violations
    assert violation.problem.startswith("this is no log: ")


@pytest.mark.parametrize("record", ["{", "[]", '{"key": "seed"}'])
def test_a_damaged_line_is_named(tmp_path: Path, record: str) -> None:
    path = complete_run("open").write(tmp_path / "result_0.txt")
    count = len(path.read_text().splitlines())
    with path.open("a") as file:
        file.write(f":::MLLOG {record}\n")
    report = check(path)
    assert not report.accepted
    assert count + 1 in {violation.line for violation in report.violations}


@pytest.mark.parametrize("key", ["submission_benchmark", "submission_division"])
def test_a_log_cannot_choose_rules_outside_the_checker(tmp_path: Path, key: str) -> None:
    # The engine executes what the rule file says, and makes its path of these two values.
    witness = tmp_path / "executed"
    rules = f"- BEGIN:\n    CODE: \"open({str(witness)!r}, 'w')\"\n"
    (tmp_path / "evil_common.yaml").write_text(rules)
    run = complete_run("open")
    value(key, "/../" * 30 + f"{tmp_path}/evil")(run)
    report = check(run.write(tmp_path / "result_0.txt"))
    assert named_keys(report) == {key}
    assert not witness.exists()


def test_bad_paths_are_named_before_anything_is_checked(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    good = complete_run("open").write(tmp_path / "good.txt")
    with pytest.raises(InputError, match=r"absent\.txt: no such log file"):
        check_files([good, tmp_path / "absent.txt"])
    with pytest.raises(InputError, match="not a regular file"):
        check_files([good, tmp_path])
    assert capsys.readouterr().out == ""


def test_the_installed_package_is_linked_to_and_left_as_it_is(tmp_path: Path) -> None:
    spec = find_spec("mlperf_logging")
    assert spec is not None
    assert spec.submodule_search_locations
    installed = Path(spec.submodule_search_locations[0])

    def digest() -> str:
        files = sorted(path for path in installed.rglob("*") if path.is_file())
        total = hashlib.sha256()
        for path in files:
            total.update(f"{path.relative_to(installed)}\0".encode() + path.read_bytes())
        return total.hexdigest()

    before = digest()
    assert check(complete_run("open").write(tmp_path / "result_0.txt")).accepted
    assert digest() == before
    with mlperf_logging_overlay() as view:
        rules = view / "mlperf_logging" / "compliance_checker" / RULES.name
        files = [path for path in view.rglob("*") if not path.is_dir()]
        assert all(path.is_symlink() for path in files)
        official = installed / "compliance_checker" / RULES.name
        assert (rules / "common.yaml").resolve() == (official / "common.yaml").resolve()
        assert (rules / "open_cloudmask.yaml").resolve().parent == RULES.resolve()
    assert not view.exists()


def test_exit_codes_are_0_accepted_1_refused_and_2_bad_input(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    good, bad = tmp_path / "good.txt", tmp_path / "bad.txt"
    complete_run("open").write(good)
    bad.write_text("no events\n")
    assert main(["check", str(good)]) == 0
    assert main(["check", str(bad), str(good)]) == 1
    assert main(["check", str(tmp_path / "absent.txt"), str(good)]) == 2
    printed = capsys.readouterr()
    assert printed.out.splitlines()[-1] == f"SUCCESS  {good}"
    assert "absent.txt: no such log file" in printed.err


@pytest.fixture
def bare_python(tmp_path: Path) -> Path:
    """A Python without packages."""
    venv.create(tmp_path / "bare", symlinks=True)
    return tmp_path / "bare" / "bin" / "python"


def test_packages_that_come_by_pythonpath_alone_reach_the_official_checker(
    tmp_path: Path, bare_python: Path
) -> None:
    path = complete_run("open").write(tmp_path / "result_0.txt")
    (tmp_path / "modules").symlink_to(sysconfig.get_path("purelib"))
    done = subprocess.run(
        [bare_python, "-m", "cloudmask", "check", path],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(["modules", str(ROOT)])},
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert (done.stdout, done.stderr, done.returncode) == (f"SUCCESS  {path}\n", "", 0)


def test_a_checker_that_does_not_start_refuses_no_log(
    tmp_path: Path,
    bare_python: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    path = complete_run("open").write(tmp_path / "result_0.txt")
    monkeypatch.delenv("PYTHONPATH", raising=False)
    monkeypatch.setattr(sys, "executable", str(bare_python))
    assert main(["check", str(path)]) == EXIT_INPUT
    printed = capsys.readouterr()
    assert printed.out == ""
    assert "not checked: the official checker cannot be started (ModuleNotFound" in printed.err
    with pytest.raises(InputError, match="not checked"):
        read_run(path)  # neither counted nor refused in a score
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "gone"))
    with pytest.raises(InputError, match=r"not checked: .*No such file .*; set TMPDIR"):
        check(path)


def test_what_a_log_holds_is_printed_in_every_encoding(tmp_path: Path) -> None:
    run = complete_run("open")
    value("submission_org", "\N{GREEK SMALL LETTER MU} \N{EURO SIGN}")(run)
    value("patch_size", 128)(run)
    path = run.write(tmp_path / "caf\xe9.txt")
    path.write_bytes(path.read_bytes() + "RESULT,\N{EURO SIGN}\n".encode())
    done = subprocess.run(
        [sys.executable, "-m", "cloudmask", "check", path],
        env={**os.environ, "PYTHONIOENCODING": "ascii:strict"},
        cwd=ROOT,
        capture_output=True,
        encoding="ascii",
    )
    assert done.returncode == 1, done.stderr
    assert done.stdout.splitlines()[-1] == rf"FAILED  {tmp_path}/caf\xe9.txt: 2 violations"
    assert r"    RESULT,\xe2" in done.stdout


def test_a_warning_does_not_refuse_the_log(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = complete_run("open").write(tmp_path / "result_0.txt")
    line = "RESULT,CLOUDMASK,1234,3600,me,2026-11-22T21:15:02+0000"
    path.write_text(f"{path.read_text()}{line}\n")
    assert check_files([path]) == 0
    warning, quote, verdict = capsys.readouterr().out.splitlines()
    assert re.fullmatch(r"  warning: RESULT, line \d+: 3600 s, but the events take .* s", warning)
    assert quote == f"    {line}"
    assert verdict == f"SUCCESS  {path}"


def test_findings_beyond_a_hundred_are_counted(tmp_path: Path) -> None:
    path = complete_run("open").write(tmp_path / "result_0.txt")
    path.write_text(path.read_text() + "RESULT,\n" * 150)
    report = check(path)
    assert not report.accepted
    assert len(report.violations) == 100
    assert [str(x) for x in report.warnings] == ["50 more of the same kinds"]


def test_what_the_official_checker_reports_is_not_reported_twice(tmp_path: Path) -> None:
    run = complete_run("open")
    value("eval_accuracy", 1.2)(run)  # outside 0 to 1, by the rules and by the forensic checks
    report = check(run.write(tmp_path / "result_0.txt"))
    line = run.at("eval_accuracy") + 1
    assert [x.line for x in report.violations if x.key == "eval_accuracy"] == [line]


def test_a_quoted_line_is_cut_and_its_control_characters_replaced() -> None:
    found = Violation("seed", 3, "is \x1b[2J", "x" * 601)
    assert str(found) == f"seed, line 3: is \N{REPLACEMENT CHARACTER}[2J\n    {'x' * 600} ..."
    assert str(Violation(None, None, "none")) == "none"
    assert str(Violation(None, 2, "none", "y" * 600)) == f"line 2: none\n    {'y' * 600}"
