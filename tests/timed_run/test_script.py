"""run_and_time.sh with variables that other people's shells set, and the help of every script."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from tests.paths import ROOT


def run(*command: object, cwd: Path = ROOT, **variables: str) -> subprocess.CompletedProcess[str]:
    """A script's end; the variables are added to the environment."""
    return subprocess.run(
        [*map(str, command)],
        cwd=cwd,
        env={**os.environ, "DGXSYSTEM": "CPU", **variables},
        capture_output=True,
        text=True,
        timeout=120,
    )


def test_a_folder_for_temporary_files_that_is_gone_is_replaced(tmp_path):
    gone = tmp_path / "gone"
    done = run(ROOT / "run_and_time.sh", "--datadir=/nowhere", cwd=tmp_path, TMPDIR=str(gone))
    assert done.returncode == 2
    assert done.stderr.splitlines() == [
        f"TMPDIR {gone} cannot be written: /tmp is used",
        "cloudmask train: error: DATADIR /nowhere does not exist: give the folder that holds "
        "training/",
    ]


def test_cdpath_leads_nowhere_else(tmp_path):
    (tmp_path / "cloudmask").symlink_to(ROOT)
    script = Path("cloudmask") / "run_and_time.sh"
    done = run("bash", script, "--datadir=/nowhere", cwd=tmp_path, CDPATH=".:..")
    assert done.returncode == 2
    assert done.stderr.startswith("cloudmask train: error: DATADIR /nowhere does not exist")


def test_the_data_set_is_looked_for_and_fetched_where_the_flag_says(tmp_path):
    here = tmp_path / "elsewhere"
    here.mkdir()
    flags = {"DATASET": "ds1", "FETCH_FLAGS": "--endpoint=nonsense"}
    empty = run(ROOT / "run_and_time.sh", f"--datadir={here}", cwd=tmp_path, **flags)
    assert "--endpoint 'nonsense'" in empty.stderr
    (here / "notes.txt").touch()
    filled = run(ROOT / "run_and_time.sh", f"--datadir={here}", cwd=tmp_path, **flags)
    assert filled.returncode == 2
    assert f"DATADIR {here} holds no training scene" in filled.stderr


@pytest.mark.parametrize("script", ["run_and_time.sh", "run_tests.sh", "run_with_docker.sh"])
def test_help_is_the_head_of_the_script_and_starts_nothing(script, tmp_path):
    done = run(ROOT / script, "--help", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert f"./{script}" in done.stdout
    assert not done.stdout.startswith("#")


def test_the_batch_script_has_help_outside_of_slurm():
    done = run("bash", ROOT / "run.sub", "--help")
    assert (done.returncode, done.stderr) == (0, "")
    assert "sbatch" in done.stdout
