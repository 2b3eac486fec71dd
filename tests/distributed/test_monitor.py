"""Outcomes of ranks that exit, fail, are killed, stall or are suspended."""

from __future__ import annotations

import os
import signal

import pytest

from cloudmask.distributed import monitor as monitor_module
from cloudmask.distributed.heartbeat import create_status_file
from cloudmask.distributed.monitor import Monitor
from cloudmask.distributed.rank_processes import RankProcesses

SLEEP = "import time; time.sleep(600)"
REPORT = (
    "import os; from cloudmask.distributed.heartbeat import Heartbeat\n"
    "h = Heartbeat(); h.enter('epoch 4')\n"
)
KILL_SELF = "os.kill(os.getpid(), 9)"
# One rank goes on only after another has come to a certain point.
AWAIT, RELEASE = "open(os.environ['FIFO']).read()\n", "turn = open(os.environ['FIFO'], 'w')\n"


@pytest.fixture
def monitor(tmp_path):
    """Starts small programs as ranks 8, 9, ...; returns their monitor, with a timeout of 5 s."""
    started = []
    os.mkfifo(tmp_path / "fifo")

    def start(*programs, timeout=5.0, is_whole=True):
        statuses = create_status_file(tmp_path, len(programs))
        environments = [
            {
                **os.environ,
                "SUPERVISOR_FOLDER": str(tmp_path),
                "LOCAL_RANK": str(rank),
                "FIFO": str(tmp_path / "fifo"),
                "PROGRAM": program,
            }
            for rank, program in enumerate(programs)
        ]
        processes = RankProcesses(["-c", "import os; exec(os.environ['PROGRAM'])"], environments)
        started.append(processes)
        return Monitor(processes, statuses, 8, timeout, is_whole)

    yield start
    for processes in started:
        processes.kill()


@pytest.mark.parametrize(
    ("programs", "exit_code", "reason"),
    [
        (["exit(0)", "exit(0)"], 0, ""),
        (["exit(3)", "exit(0)"], 3, ""),
        (["exit(7)", "exit(0)"], 5, "rank 8 in start exited with code 7"),
        (["exit(255)", "exit(0)"], 5, "rank 8 in start exited with code 255"),
        ([SLEEP, "exit(143)"], 143, "rank 9 in start was stopped by SIGTERM"),
        ([SLEEP, REPORT + KILL_SELF], 5, "rank 9 in epoch 4 was killed by SIGKILL"),
        (
            [SLEEP, REPORT + "os.kill(os.getpid(), 40)"],
            5,
            "rank 9 in epoch 4 was killed by signal 40",
        ),
        (
            [SLEEP, REPORT + "h.fail('a bad scene', 2); exit(2)"],
            2,
            "rank 9 in epoch 4: a bad scene",
        ),
        (
            [SLEEP, REPORT + "h.fail('a bad scene', 2)\n" + KILL_SELF],
            2,
            "rank 9 in epoch 4: a bad scene",
        ),
        ([SLEEP, REPORT + "h.enter('start'); h.fail('no GPU', 2); exit(2)"], 2, "no GPU"),
    ],
)
def test_an_outcome_has_the_runs_exit_code_and_its_reason(monitor, programs, exit_code, reason):
    outcome = monitor(*programs, timeout=60.0).wait()
    assert (outcome.exit_code, outcome.reason) == (exit_code, reason)


@pytest.mark.parametrize(
    ("first", "exit_code", "reason"),
    [
        (
            REPORT + RELEASE + KILL_SELF,
            5,
            "rank 9 in epoch 4 was killed by SIGKILL",
        ),
        (
            REPORT + "h.fail('a bad scene', 2)\n" + RELEASE + "exit(2)",
            2,
            "rank 9 in epoch 4: a bad scene",
        ),
    ],
)
def test_the_first_failure_is_reported_not_those_that_it_causes(monitor, first, exit_code, reason):
    second = REPORT + AWAIT + "h.fail('lost the connection', 5, 'a traceback'); exit(5)"
    outcome = monitor(second, first, timeout=60.0).wait()
    assert (outcome.exit_code, outcome.reason, outcome.traceback) == (exit_code, reason, "")


def test_a_rank_without_progress_is_reported_after_the_timeout(monitor):
    ranks = monitor(SLEEP, SLEEP)
    for rank, last_progress in enumerate((1001.0, 1000.0)):
        ranks.statuses[rank].set_text("phase", "epoch 4")
        ranks.statuses[rank].last_progress = last_progress
    assert ranks.find_stall([0, 1], now=1004.9) == ""
    assert ranks.find_stall([0, 1], now=1005.1) == "rank 9 in epoch 4 made no progress for 5 s"
    assert ranks.find_stall([0], now=1005.1) == ""  # the other one has completed


def test_a_stalled_rank_ends_the_run_with_exit_code_5(monitor):
    ranks = monitor(SLEEP)
    ranks.statuses[0].set_text("phase", "epoch 4")
    ranks.statuses[0].last_progress = -10.0
    outcome = ranks.wait()
    assert (outcome.exit_code, outcome.reason) == (5, "rank 8 in epoch 4 made no progress for 5 s")


@pytest.mark.parametrize(("timeout", "start_timeout"), [(5.0, 600), (700.0, 700)])
def test_a_rank_has_600_s_until_its_first_phase(monitor, timeout, start_timeout):
    ranks = monitor(SLEEP, timeout=timeout)
    ranks.statuses[0].last_progress = 1000.0
    assert ranks.find_stall([0], now=1000 + start_timeout - 0.1) == ""
    assert (
        ranks.find_stall([0], now=1000 + start_timeout + 0.1)
        == f"rank 8 in start made no progress for {start_timeout} s"
    )


def test_a_rank_that_waits_is_not_at_fault_while_another_makes_progress(monitor):
    ranks = monitor(SLEEP, SLEEP)
    for status in ranks.statuses:
        status.set_text("phase", "epoch 4")
    ranks.statuses[0].waiting, ranks.statuses[0].last_progress = True, 1000.0
    ranks.statuses[1].last_progress = 1096.0
    assert ranks.find_stall([0, 1], now=1100.0) == ""
    ranks.statuses[1].waiting = True
    assert ranks.find_stall([0, 1], now=1100.9) == ""
    assert ranks.find_stall([0, 1], now=1101.1) == "all ranks waited for each other for 5 s"


def test_a_rank_that_waits_is_not_named_for_one_that_stalls(monitor):
    ranks = monitor(SLEEP, SLEEP)
    for status in ranks.statuses:
        status.set_text("phase", "staging")
    ranks.statuses[0].waiting, ranks.statuses[0].last_progress = True, 1000.0
    ranks.statuses[1].last_progress = 1001.0
    assert ranks.find_stall([0, 1], now=1006.1) == "rank 9 in staging made no progress for 5 s"


@pytest.mark.parametrize("waiting", [True, False])
def test_a_suspended_rank_is_reported_after_the_timeout(monitor, waiting):
    ranks = monitor(SLEEP, SLEEP)
    for status in ranks.statuses:
        status.set_text("phase", "epoch 4")
        status.last_progress, status.waiting = 1000.0, True
    ranks.statuses[0].waiting = waiting  # for rank 9, which is suspended
    suspend(ranks.processes.processes[1].pid)
    assert ranks.processes.suspended() == [1]
    assert ranks.find_stall([0, 1], now=1000.1) == ""
    assert ranks.find_stall([0, 1], now=1004.9) == ""
    assert ranks.find_stall([0, 1], now=1005.2) == "rank 9 in epoch 4 was suspended for 5 s"


def test_a_rank_that_was_resumed_has_its_whole_timeout_again(monitor):
    ranks = monitor(SLEEP)
    pid = ranks.processes.processes[0].pid
    ranks.statuses[0].set_text("phase", "epoch 4")
    suspend(pid)
    assert ranks.find_stall([0], now=1000.0) == ""
    os.kill(pid, signal.SIGCONT)
    os.waitid(os.P_PID, pid, os.WCONTINUED)
    ranks.statuses[0].last_progress = 1004.0
    assert ranks.find_stall([0], now=1004.5) == ""
    suspend(pid)
    assert ranks.find_stall([0], now=1005.5) == ""


def suspend(pid: int) -> None:
    """Suspend a child, and return when it is."""
    os.kill(pid, signal.SIGSTOP)
    os.waitid(os.P_PID, pid, os.WSTOPPED)


def test_ranks_that_wait_for_another_part_of_the_run_give_up_by_themselves(monitor):
    ranks = monitor(SLEEP, is_whole=False)
    ranks.statuses[0].set_text("phase", "epoch 4")
    ranks.statuses[0].waiting, ranks.statuses[0].last_progress = True, 1000.0
    assert ranks.find_stall([0], now=1100.0) == ""


def test_a_rank_is_not_blamed_before_it_could_give_up_another_part_of_the_run(monitor):
    ranks = monitor(SLEEP, is_whole=False)
    ranks.statuses[0].set_text("phase", "epoch 4")
    ranks.statuses[0].last_progress = 1000.0
    assert ranks.find_stall([0], now=1009.9) == ""
    assert ranks.find_stall([0], now=1010.1) == "rank 8 in epoch 4 made no progress for 10 s"
    suspend(ranks.processes.processes[0].pid)  # that is sure to be at fault
    assert ranks.find_stall([0], now=1011.0) == ""
    assert ranks.find_stall([0], now=1016.1) == "rank 8 in epoch 4 was suspended for 5 s"


def failed(status, at, reason, *, is_consequence=False):
    status.set_text("phase", "epoch 4")
    status.set_text("reason", reason)
    status.failed_at, status.exit_code, status.is_consequence = at, 5, is_consequence


@pytest.mark.parametrize(
    ("victim", "code"), [(None, -signal.SIGABRT), ("lost", 5)], ids=["aborted", "reported"]
)
def test_a_rank_that_another_pulled_along_does_not_outrank_the_cause(monitor, victim, code):
    ranks = monitor(SLEEP, SLEEP)
    if victim:
        failed(ranks.statuses[0], 1.0, victim, is_consequence=True)
    failed(ranks.statuses[1], 2.0, "a broken disk")  # reported after its victim
    assert ranks.first_failure([code, 5]).reason == "rank 9 in epoch 4: a broken disk"
    ranks.statuses[1].failed_at = 0.0
    assert ranks.first_failure([code, None]).is_consequence  # of another supervisor's rank


def test_a_rank_killed_for_want_of_memory_is_bad_input(monitor, monkeypatch):
    kills = 3
    monkeypatch.setattr(monitor_module, "out_of_memory_kills", lambda: kills)
    ranks = monitor(SLEEP)
    assert ranks.first_failure([-signal.SIGKILL]).exit_code == 5
    kills = 4
    outcome = ranks.first_failure([-signal.SIGKILL])
    assert outcome.exit_code == 2
    assert "rank 8 in start was killed because the memory of the machine ran out" in outcome.reason
