"""The logs that the repository shows are accepted, and the table beside them is theirs."""

import subprocess
from pathlib import Path

import pytest

from cloudmask.mlperf.check.command import check
from cloudmask.mlperf.score.runs import find_logs, read_runs
from cloudmask.mlperf.score.summarize import summary_text
from tests.paths import ROOT

LOGS = Path("logs")


def committed_logs() -> list[str]:
    """Names of the result files that git tracks."""
    command = ["git", "-C", str(ROOT), "ls-files", f"{LOGS}/**/result_*.txt"]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()


@pytest.mark.parametrize("name", committed_logs())
def test_committed_log_is_accepted(name: str) -> None:
    assert check(ROOT / name).accepted


def test_the_table_beside_them_is_made_of_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    tracked = set(committed_logs())
    # A run of one's own adds logs to the folder, but not to the table.
    runs = read_runs([path for path in find_logs([LOGS]) if str(path) in tracked])
    assert (LOGS / "README.md").read_text() == summary_text([LOGS], runs, "markdown") + "\n"
