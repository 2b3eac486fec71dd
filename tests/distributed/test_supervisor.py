"""Logs that lost their writer, and what a supervisor makes of odd ends of its ranks."""

from __future__ import annotations

import os
import signal
import time

import psutil
import pytest

from cloudmask.distributed.heartbeat import FOLDER_VARIABLE, make_board
from cloudmask.distributed.monitor import Monitor
from cloudmask.distributed.rank_processes import RankProcesses
from cloudmask.distributed.supervisor import end_log
from cloudmask.errors import EXIT_FAULT, EXIT_INPUT, EXIT_OK, EXIT_TARGET_MISSED
from cloudmask.mlperf.log.lines import read_lines
from cloudmask.mlperf.log.logger import RunLog


def keys(path):
    return [line.record["key"] for line in read_lines(path) if line.record is not None]


def test_a_log_without_an_end_gets_one_with_the_reason(tmp_path):
    path = tmp_path / "result_0.txt"
    with RunLog(path) as log:
        log.start("run_start")
    end_log(path, "rank 1 in epoch 2 was killed by SIGKILL")
    assert keys(path) == ["run_start", "run_stop", "fault"]
    stop = read_lines(path)[1].record
    assert stop["metadata"]["status"] == "aborted"
    assert stop["metadata"]["reason"] == "rank 1 in epoch 2 was killed by SIGKILL"


def test_a_log_that_stopped_its_clock_keeps_that_and_names_the_fault(tmp_path):
    path = tmp_path / "result_0.txt"
    with RunLog(path) as log:
        log.end("run_stop", status="success")
    end_log(path, "rank 0 in inference was killed by SIGKILL")
    assert keys(path) == ["run_stop", "fault"]


def test_a_line_that_was_cut_short_stays_by_itself(tmp_path):
    path = tmp_path / "result_0.txt"
    path.write_text(':::MLLOG {"namespace": "", "time_')
    end_log(path, "rank 0 was killed")
    assert keys(path) == ["run_stop", "fault"]
    assert path.read_text().startswith(':::MLLOG {"namespace": "", "time_\n')


BEGIN = (
    "from cloudmask.distributed.heartbeat import Heartbeat; h = Heartbeat(); h.enter('epoch 4');"
)


@pytest.fixture
def watch(tmp_path):
    """Watches ranks that run these programs in place of a training."""
    crews = []
    others = psutil.Process().children()  # those that other tests still need

    def start(*programs, patience=60.0):
        slots = make_board(tmp_path, len(programs))
        environments = [
            {**os.environ, FOLDER_VARIABLE: str(tmp_path), "LOCAL_RANK": str(rank), "PROGRAM": text}
            for rank, text in enumerate(programs)
        ]
        crew = RankProcesses(["-c", "import os; exec(os.environ['PROGRAM'])"], environments)
        crews.append(crew)
        return Monitor(crew, slots, 8, patience, None).until_end()

    yield start
    for crew in crews:
        crew.end()
    assert [child for child in psutil.Process().children() if child not in others] == []


@pytest.mark.parametrize(
    ("programs", "code", "reason"),
    [
        (["exit(0)", "exit(0)"], EXIT_OK, ""),
        (["exit(3)", "exit(0)"], EXIT_TARGET_MISSED, ""),
        (["exit(7)", "exit(0)"], EXIT_FAULT, "rank 8 in start ended with code 7"),
        (["while True: pass", "exit(143)"], 143, "rank 9 in start was stopped by SIGTERM"),
        (
            [BEGIN + "h.fail('lost a line', 5); exit(5)", BEGIN + "os.kill(os.getpid(), 9)"],
            EXIT_FAULT,
            "rank 9 in epoch 4 was killed by SIGKILL",
        ),
        (
            [
                BEGIN + "import time; time.sleep(.3); h.fail('lost a line', 5); exit(5)",
                BEGIN + "h.fail('a bad scene', 2); exit(2)",
            ],
            EXIT_INPUT,
            "rank 9 in epoch 4: a bad scene",
        ),
    ],
)
def test_the_first_failure_is_the_one_that_is_told(watch, programs, code, reason):
    end = watch(*programs)
    assert (end.code, end.reason) == (code, reason)


def test_a_rank_that_beats_is_not_given_up_and_one_that_does_not_is(watch):
    beating = BEGIN + "import time\nwhile True: h.beat(); time.sleep(.05)"
    silent = BEGIN + "import time; time.sleep(600)"
    end = watch(beating, silent, patience=1.0)
    assert end.reason == "rank 9 in epoch 4 did not get on for 1 s"


@pytest.mark.slow
def test_a_rank_that_waits_is_not_to_blame_while_another_gets_on(watch):
    waiting = BEGIN + "h.wait(); import time; time.sleep(600)"
    busy = BEGIN + (
        "import time\nfor _ in range(40): h.beat(); time.sleep(.05)\nraise SystemExit(7)"
    )
    end = watch(waiting, busy, patience=0.5)
    assert end.reason == "rank 9 in epoch 4 ended with code 7"


def test_ranks_that_all_wait_are_given_up(watch):
    waiting = BEGIN + "h.wait(); import time; time.sleep(600)"
    assert "waited for each other" in watch(waiting, waiting, patience=0.5).reason


def test_a_killed_rank_leaves_no_worker_behind():
    program = (
        "import subprocess, sys, time; subprocess.Popen([sys.executable, '-c', "
        "'import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(600)']);"
        "time.sleep(600)"
    )
    crew = RankProcesses(["-c", program], [dict(os.environ)])
    rank = psutil.Process(crew.processes[0].pid)
    deadline = time.monotonic() + 30
    while not rank.children() and time.monotonic() < deadline:
        time.sleep(0.05)
    (worker,) = rank.children()
    os.kill(rank.pid, signal.SIGKILL)
    crew.wait(10)
    assert crew.codes() == [-signal.SIGKILL]
    crew.end()
    assert not rank.is_running()
    assert not worker.is_running()
