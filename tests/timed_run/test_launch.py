"""What a process of a run becomes, and how it ends."""

from __future__ import annotations

import re
import subprocess
import sys

import pytest

from cloudmask.config import Config
from cloudmask.distributed import rank_processes, supervisor
from cloudmask.distributed.heartbeat import FOLDER_VARIABLE, create_status_file
from cloudmask.distributed.launcher import Part
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


@pytest.mark.parametrize(
    "message",
    [
        "[/x/unbound_buffer.cc:78] Timed out waiting 3000ms for recv operation to complete",
        "[/x/pair.cc:534] Connection closed by peer [127.0.0.1]:41234",
        "Application timeout caused pair closure",
    ],
)
def test_the_loss_of_another_rank_is_reported_as_a_consequence(status, monkeypatch, message):
    run_that_raises(monkeypatch, RuntimeError(message))
    assert launch.launch(Config(), []) == 5
    assert status.is_consequence
    assert re.match(r"(the connection to )?another rank .*\(\w", status.text("reason"))


@pytest.mark.parametrize(
    ("variables", "part"),
    [({}, Part(0, 4, 4, 0, 4)), (LAUNCH_OF_RANK_1, Part(1, 1, 2, 1, 2, "localhost", 29511))],
)
def test_any_other_process_becomes_a_supervisor(monkeypatch, variables, part):
    class Supervisor:
        def __init__(self, config, arguments, part):
            self.given = (config.seed, arguments, part)

        def run(self):
            return self.given

    monkeypatch.delenv(FOLDER_VARIABLE, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(supervisor, "Supervisor", Supervisor)
    config = Config(seed=3, processes_per_node=1 if variables else 4)
    assert launch.launch(config, ["--seed=3"]) == (3, ["--seed=3"], part)


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
