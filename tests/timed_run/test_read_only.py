"""Places that must be written but are read-only, as in hardened containers, and unknown users."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.paths import ROOT
from tests.runs import narrow

pytestmark = pytest.mark.slow

READ_ONLY = (
    'for place in $PLACES; do mount --bind -o ro "$place" "$place" || exit 9; done; exec "$@"'
)
USER_VARIABLES = ("HOME", "USER", "LOGNAME", "LNAME", "USERNAME")


def cloudmask(
    places: str, *arguments: object, **variables: str
) -> subprocess.CompletedProcess[str]:
    """A command where these places are read-only, and the current folder is too."""
    done = subprocess.run(
        [
            *("unshare", "--mount", "bash", "-c", READ_ONLY, "-"),
            *(sys.executable, "-m", "cloudmask", *map(str, arguments)),
        ],
        cwd="/proc",
        env={**os.environ, "PYTHONPATH": str(ROOT), "PLACES": places, **variables},
        capture_output=True,
        text=True,
        timeout=300,
    )
    if "unshare" in done.stderr or done.returncode == 9:
        pytest.skip(f"nothing can be mounted here: {done.stderr.strip()}")
    return done


def test_a_run_without_a_place_for_temporary_files_is_refused(two_scenes, tmp_path, monkeypatch):
    monkeypatch.delenv("TMPDIR", raising=False)
    flags = (f"--datadir={two_scenes}", f"--logdir={tmp_path}", "--device=cpu")
    done = cloudmask("/tmp /var/tmp", "train", *flags)
    assert (done.returncode, done.stderr) == (
        2,
        "cloudmask train: error: no temporary folder can be made (No usable temporary directory "
        "found in ['/tmp', '/var/tmp', '/usr/tmp', '/proc']): set TMPDIR to a folder that can be "
        "written\n",
    )
    findings = cloudmask("/tmp /var/tmp", "doctor", *flags)
    assert findings.returncode == 1
    assert "FAIL     temporary      no temporary folder can be made" in findings.stdout


def test_a_run_without_shared_memory_is_refused(two_scenes, tmp_path):
    if not Path("/dev/shm").is_dir():
        pytest.skip("nothing can be mounted here: no /dev/shm")
    flags = (f"--datadir={two_scenes}", f"--logdir={tmp_path}", "--device=cpu")
    variables = narrow()
    variables["PYTHONPATH"] += f"{os.pathsep}{ROOT}"
    done = cloudmask("/dev/shm", "train", *flags, **variables)
    reason = "/dev/shm cannot be written (Read-only file system), and worker processes need it"
    assert done.returncode == 2
    assert done.stderr.startswith(f"cloudmask train: error: {reason}: mount a tmpfs there")
    assert done.stderr.count("\n") == 1
    assert reason in cloudmask("/dev/shm", "doctor", *flags).stdout


def test_a_user_without_a_name_trains(two_scenes, tmp_path):
    variables = narrow()
    unknown = ("unshare", "--user", "--map-user=4711", "--map-group=4711")
    done = subprocess.run(
        [
            *(*unknown, sys.executable, "-m", "cloudmask", "train", "--device=cpu"),
            *(f"--datadir={two_scenes}", f"--logdir={tmp_path}", "--epochs=1"),
        ],
        cwd=ROOT,
        env={
            **{name: value for name, value in os.environ.items() if name not in USER_VARIABLES},
            **variables,
        },
        capture_output=True,
        text=True,
        timeout=300,
    )
    if done.stderr.startswith("unshare"):
        pytest.skip(f"nothing can be mounted here: {done.stderr.strip()}")
    assert done.returncode in (0, 3), done.stderr  # with or without the target
    assert (tmp_path / "result_0.txt").exists()
