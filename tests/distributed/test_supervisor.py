"""What a supervisor does after faults and stop signals, and the logs that it completes."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from cloudmask.distributed.supervisor import log_fault
from cloudmask.mlperf.log.lines import read_lines
from cloudmask.mlperf.log.logger import RunLog

# A supervisor of one rank, which runs a small program.
SUPERVISOR = """
import os, signal, sys
from cloudmask.config import Config
from cloudmask.distributed import rank_processes
from cloudmask.distributed.launcher import Part
from cloudmask.distributed.supervisor import Supervisor
from cloudmask.errors import Stopped

class Clock:
    now = 0.0

    def monotonic(self):
        return self.now

    def sleep(self, seconds):
        self.now += seconds

def stop(number, frame):
    raise Stopped(number)

clock = rank_processes.time = Clock()
signal.signal(signal.SIGTERM, stop)
supervisor = Supervisor(Config(processes_per_node=1, max_restarts=2), [], Part(0, 1, 1, 0, 1))
supervisor.command = ["-c", os.environ["PROGRAM"]]
try:
    sys.exit(supervisor.run())
except Stopped:
    print(f"{clock.now:.1f} s", flush=True)
"""


def supervise(program):
    """Run the program as the only rank of a supervisor with two restarts."""
    return subprocess.run(
        [sys.executable, "-c", SUPERVISOR],
        env={**os.environ, "PROGRAM": program},
        capture_output=True,
        text=True,
    )


def keys(path):
    return [line.record["key"] for line in read_lines(path) if line.record is not None]


def test_a_log_without_an_end_gets_one_with_the_reason(tmp_path):
    path = tmp_path / "result_0.txt"
    with RunLog(path) as log:
        log.start("run_start")
    log_fault(path, "rank 1 in epoch 2 was killed by SIGKILL")
    assert keys(path) == ["run_start", "run_stop", "fault"]
    stop = read_lines(path)[1].record
    assert stop["metadata"]["status"] == "aborted"
    assert stop["metadata"]["reason"] == "rank 1 in epoch 2 was killed by SIGKILL"


def test_a_log_that_stopped_its_clock_keeps_that_and_names_the_fault(tmp_path):
    path = tmp_path / "result_0.txt"
    with RunLog(path) as log:
        log.end("run_stop", status="success")
    log_fault(path, "rank 0 in inference was killed by SIGKILL")
    assert keys(path) == ["run_stop", "fault"]


def test_a_line_that_was_cut_short_stays_by_itself(tmp_path):
    path = tmp_path / "result_0.txt"
    path.write_text(':::MLLOG {"namespace": "", "time_')
    log_fault(path, "rank 0 was killed")
    assert keys(path) == ["run_stop", "fault"]
    assert path.read_text().startswith(':::MLLOG {"namespace": "", "time_\n')


@pytest.mark.parametrize("exit_code", [0, 2, 3, 143])
def test_only_a_fault_is_restarted(exit_code):
    program = (
        "from cloudmask.distributed.heartbeat import Heartbeat\n"
        f"Heartbeat().fail('a reason', {exit_code}); exit({exit_code})"
    )
    done = supervise(program)
    assert done.returncode == exit_code
    assert "restart" not in done.stdout


def test_a_fault_is_restarted_as_often_as_allowed_and_then_ends_the_run():
    program = "import os; print('start', os.environ['SUPERVISOR_RESTARTS'], flush=True); exit(7)"
    done = supervise(program)
    assert done.returncode == 5
    assert done.stdout.splitlines() == [
        *("start 0", "restart 1 of 2", "start 1", "restart 2 of 2", "start 2")
    ]
    message = "cloudmask train: error: rank 0 in start exited with code 7"
    assert done.stderr.splitlines() == [message] * 3


def test_a_rank_that_does_not_obey_a_stop_signal_is_killed_after_20_s():
    program = (
        "import os, signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN);"
        "os.kill(os.getppid(), signal.SIGTERM); time.sleep(600)"
    )
    done = supervise(program)  # returns when the rank, which has the same output, is gone too
    assert done.stderr == ""
    assert 20.0 <= float(done.stdout.removesuffix(" s\n")) < 20.2


def test_a_rank_that_obeys_a_stop_signal_is_not_waited_for_any_longer():
    program = "import os, signal, time; os.kill(os.getppid(), signal.SIGTERM); signal.pause()"
    done = supervise(program)
    assert done.stderr == ""
