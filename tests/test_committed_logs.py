"""The logs that the repository shows are accepted, and the table beside them is theirs."""

import re
import subprocess
from pathlib import Path

import pytest

from cloudmask.mlperf.check.command import check
from cloudmask.mlperf.score.runs import read_runs
from cloudmask.mlperf.score.summarize import summary_text
from tests.paths import ROOT

LOGS = Path("logs")
TABLE = ROOT / LOGS / "README.md"
# A run of one's own adds logs to the folder, but not to the table.
SHOWN = re.findall(r"^\| (logs/\S+) \|", TABLE.read_text(), re.MULTILINE)


@pytest.mark.parametrize("name", SHOWN)
def test_shown_log_is_accepted(name: str) -> None:
    assert check(ROOT / name).accepted


def test_the_table_beside_them_is_made_of_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    runs = read_runs([Path(name) for name in SHOWN])
    assert TABLE.read_text() == summary_text([LOGS], runs, "markdown") + "\n"


def test_every_committed_log_is_shown() -> None:
    if not (ROOT / ".git").exists():
        pytest.skip("no git clone")
    command = ["git", "-C", str(ROOT), "ls-files", f"{LOGS}/**/result_*.txt"]
    listing = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert set(listing.split()) == set(SHOWN)
