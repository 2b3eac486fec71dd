"""A rank, a staging worker or the supervisor is killed, stalled or suspended: the run ends."""

from __future__ import annotations

import signal

import pytest

from tests.faults.faulty_run import assert_reported, stops
from tests.runs import fault, values_of

pytestmark = pytest.mark.slow
KILL, SUSPEND = signal.SIGKILL, signal.SIGSTOP


@pytest.mark.parametrize(
    ("ranks", "rank", "moment", "phase"),
    [
        (1, 0, {"phase": "staging"}, "staging"),
        (2, 1, {"phase": "epoch 1", "step": 2}, "epoch 1"),
        (2, 0, {"phase": "evaluation 1", "step": 1}, "evaluation 1"),
        (2, 0, {"fsync": "checkpoint_*"}, "evaluation 1"),
    ],
)
def test_a_killed_rank_ends_the_run(start, tally, ranks, rank, moment, phase):
    kill = fault(rank=rank, signal=KILL, **moment)
    run = start("--target-accuracy=1", "--checkpoint-epochs=1", faults=[kill], ranks=ranks)
    assert run.finish(tally) == 5
    assert_reported(run, f"rank {rank} in {phase} was killed by SIGKILL")
    assert not list(run.logs.glob("*.part"))
    assert not list(run.logs.glob("checkpoint_*"))


def test_a_rank_killed_behind_the_clock_spoils_the_run_all_the_same(start, tally):
    kill = fault(rank=1, phase="inference", signal=KILL)
    run = start("--target-accuracy=0.01", faults=[kill], ranks=2)
    assert run.finish(tally) == 5
    reason = "rank 1 in inference was killed by SIGKILL"
    assert run.error == f"cloudmask train: error: {reason}\n"
    assert values_of(run.log, "fault") == [reason]
    assert stops(run.log) == [("success", None)]


@pytest.mark.parametrize(
    ("moment", "timeout", "reason"),
    [
        ({"phase": "staging", "step": 1}, 5, "rank 0 in staging made no progress for 5 s"),
        ({"worker_scene": 1}, 5, "rank 0 in staging made no progress for 5 s"),
        # Enough for every step before it, however slow the machine is.
        ({"fsync": "checkpoint_*"}, 15, "all ranks waited for each other for 15 s"),
    ],
)
def test_a_rank_or_staging_worker_that_stalls_ends_the_run(start, tally, moment, timeout, reason):
    run = start(
        *("--target-accuracy=1", "--checkpoint-epochs=1", f"--fault-timeout={timeout}"),
        faults=[fault(**moment)],
    )
    assert run.finish(tally) == 5
    assert_reported(run, reason)


def test_a_suspended_rank_ends_the_run(start, tally):
    suspend = fault(rank=1, phase="staging", signal=SUSPEND)
    run = start("--fault-timeout=5", faults=[suspend], ranks=2)
    assert run.finish(tally) == 5
    assert_reported(run, "rank 1 in staging was suspended for 5 s")


def test_a_killed_staging_worker_ends_the_run(start, tally):
    run = start(faults=[fault(rank=1, worker_scene=1, signal=KILL)], ranks=2)
    assert run.finish(tally) == 2
    assert_reported(
        run,
        "rank 1 in staging: a process that reads scenes was killed, probably for want of memory: "
        "use fewer workers, or store mapped",
    )


def test_ranks_do_not_outlive_a_killed_supervisor(start, tally):
    kill = fault(rank=0, phase="epoch 1", step=1, signal=KILL, to="supervisor")
    run = start("--target-accuracy=1", faults=[kill], ranks=2)
    assert run.finish(tally) == -9
    assert stops(run.log) == [("aborted", "Stopped: stopped by SIGTERM")]
