"""The logs that the repository shows are logs that the official checker accepts."""

import subprocess
from pathlib import Path

import pytest

from cloudmask.mlperf.check import check

ROOT = Path(__file__).parents[1]


def committed_logs() -> list[str]:
    """Names of the result files that git tracks."""
    command = ["git", "-C", str(ROOT), "ls-files", "logs/**/result_*.txt"]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()


@pytest.mark.parametrize("name", committed_logs())
def test_committed_log_is_accepted(name: str) -> None:
    assert check(ROOT / name).accepted
