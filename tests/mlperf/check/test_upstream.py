"""The contribution in `upstream/`: with it, and only with it, the official checker knows us."""

import shutil
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

from cloudmask.mlperf.check.official_tools import RULES
from tests.mlperf.run_events import complete_run
from tests.paths import ROOT

UPSTREAM = ROOT / "upstream"
RULE_FOLDER = Path("mlperf_logging") / "compliance_checker" / RULES.name


@pytest.fixture
def release(tmp_path: Path) -> Path:
    """A copy of the installed release of mlperf-logging."""
    spec = find_spec("mlperf_logging")
    assert spec is not None
    assert spec.submodule_search_locations
    installed = Path(spec.submodule_search_locations[0])
    shutil.copytree(installed, tmp_path / "release" / installed.name)
    return tmp_path / "release"


def run(folder: Path, *command: str) -> str:
    """The output of a command in the folder, which Python imports from first."""
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=100)
    return f"exit {done.returncode}\n{done.stdout}{done.stderr}"


def verdict(folder: Path, log: Path) -> str:
    """What the official checker in the folder says of a log."""
    checker = ("mlperf_logging.compliance_checker", "--usage", "hpc", "--ruleset", "3.0.0")
    return run(folder, sys.executable, "-m", *checker, str(log))


def add_rules(folder: Path) -> None:
    """The rule files, as `cp -L` copies them."""
    for path in (UPSTREAM / RULE_FOLDER).glob("*.yaml"):
        shutil.copyfile(path, folder / RULE_FOLDER / path.name)


@pytest.mark.parametrize("division", ["open", "closed"])
def test_the_official_checker_accepts_our_logs_with_exactly_these_changes(
    release: Path, tmp_path: Path, division: str
) -> None:
    log = complete_run(division).write(tmp_path / "result_0.txt")
    assert "SUCCESS" not in verdict(release, log)
    applied = run(release, "git", "apply", "-p1", "--verbose", str(UPSTREAM / "lists.patch"))
    assert applied.startswith("exit 0"), applied
    assert "SUCCESS" not in verdict(release, log)  # the lists alone are not enough
    add_rules(release)
    found = verdict(release, log)
    assert "INFO - SUCCESS" in found, found
    assert f"{RULES.name}/{division}_cloudmask.yaml" in found


def test_the_patch_adds_one_line_to_each_list_and_takes_nothing_away() -> None:
    lines = (UPSTREAM / "lists.patch").read_text().splitlines()
    added = [x for x in lines if x.startswith("+") and not x.startswith("+++")]
    removed = [x for x in lines if x.startswith("-") and not x.startswith("---")]
    assert len(added) == 5
    assert all("'cloudmask'" in line for line in added)
    assert [x[1:].replace(", 'cloudmask'", "") for x in added if "CHECK" in x] == [
        x[1:] for x in removed
    ]


def test_the_rules_are_those_that_check_uses() -> None:
    for path in RULES.glob("*.yaml"):
        assert (UPSTREAM / RULE_FOLDER / path.name).read_bytes() == path.read_bytes()
