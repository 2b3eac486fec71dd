"""What a process of a run becomes, and how it ends."""

from __future__ import annotations

import subprocess
import sys

import pytest

from cloudmask.config import Config
from cloudmask.distributed import rank_processes, supervisor
from cloudmask.distributed.heartbeat import FOLDER_VARIABLE, create_status_file
from cloudmask.errors import InputError
from cloudmask.timed_run import launch, run
from tests.launches import LAUNCH_OF_RANK_1
from tests.paths import ROOT


@pytest.fixture
def status(tmp_path, monkeypatch):
    """The status of this process as a supervised rank."""
    (status,) = create_status_file(tmp_path, 1)
    launched = {"RANK": "0", "WORLD_SIZE": "1", "LOCAL_RANK": "0", "LOCAL_WORLD_SIZE": "1"}
    for name, value in {FOLDER_VARIABLE: str(tmp_path), **launched}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(rank_processes, "stop_with_supervisor", lambda: None)
    return status


def run_that_raises(monkeypatch, error):
    """Let the timed run of this process fail."""

    def timed_run(config, heartbeat):
        raise error

    monkeypatch.setattr(run, "timed_run", timed_run)


@pytest.mark.parametrize(
    ("error", "code", "reason"),
    [
        (InputError("DATADIR is empty"), 2, "DATADIR is empty"),
        (OSError(28, "No space left on device"), 5, "[Errno 28] No space left on device"),
        (ZeroDivisionError("by zero"), 5, "ZeroDivisionError: by zero"),
    ],
)
def test_a_rank_reports_its_failure_to_its_supervisor(
    status, monkeypatch, capsys, error, code, reason
):
    run_that_raises(monkeypatch, error)
    assert launch.launch(Config(), []) == code
    assert status.exit_code == code
    assert status.text("reason") == reason
    assert status.failed_at > 0
    # Only where the cause is in the program, its place there is of interest.
    assert ("Traceback" in status.text("traceback")) == isinstance(error, ZeroDivisionError)
    assert capsys.readouterr().err == ""


def test_a_rank_of_torchrun_raises_its_failure(monkeypatch):
    monkeypatch.delenv(FOLDER_VARIABLE, raising=False)
    for name, value in LAUNCH_OF_RANK_1.items():
        monkeypatch.setenv(name, value)
    run_that_raises(monkeypatch, InputError("DATADIR is empty"))
    with pytest.raises(InputError, match="DATADIR is empty"):
        launch.launch(Config(), [])


def test_any_other_process_becomes_the_supervisor(monkeypatch):
    class Supervisor:
        def __init__(self, config, arguments):
            self.given = (config.seed, arguments)

        def run(self):
            return self.given

    monkeypatch.delenv(FOLDER_VARIABLE, raising=False)
    monkeypatch.delenv("RANK", raising=False)
    monkeypatch.setattr(supervisor, "Supervisor", Supervisor)
    assert launch.launch(Config(seed=3), ["--seed=3"]) == (3, ["--seed=3"])


@pytest.mark.parametrize(("rank", "shown"), [("0", b"before"), (None, b"beforeafter")])
def test_a_rank_exits_without_the_shutdown_of_the_interpreter(rank, shown):
    code = """
import atexit, os, sys
from cloudmask.timed_run.launch import exit_process
if sys.argv[1] != "None":
    import cloudmask.timed_run.run
    os.environ["RANK"] = sys.argv[1]
atexit.register(lambda: print("after", end=""))
print("before", end="")
exit_process(5)
"""
    command = [sys.executable, "-c", code, str(rank)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True)
    assert done.returncode == 5
    assert done.stdout == shown
