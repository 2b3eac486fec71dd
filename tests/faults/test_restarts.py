"""A run goes on from its last checkpoint, after a stop signal or after a fault."""

from __future__ import annotations

import signal

import pytest

from cloudmask.checkpoints.folder import newest_first
from cloudmask.mlperf.log.run_summary import read_summary
from tests.faults.faulty_run import stops
from tests.runs import epochs_of_checkpoints, fault, values_of

pytestmark = pytest.mark.slow


@pytest.mark.parametrize(
    ("ranks", "number", "name", "exit_code"),
    [(1, signal.SIGTERM, "SIGTERM", 143), (2, signal.SIGUSR1, "SIGUSR1", 138)],
)
def test_a_stop_signal_leaves_a_checkpoint_from_which_the_run_goes_on(
    start, tally, ranks, number, name, exit_code
):
    stop = fault(phase="epoch 2", step=1, signal=number, to="supervisor")
    run = start("--target-accuracy=1", "--seed=5", faults=[stop], ranks=ranks)
    assert run.finish(tally) == exit_code
    assert run.error == ""
    assert stops(run.log) == [("aborted", f"Stopped: stopped by {name}")]
    assert epochs_of_checkpoints(run.log) == [1]
    assert [path.name for path in newest_first(run.logs)] == values_of(run.log, "checkpoint")

    resumed = start("--target-accuracy=0.01", "--resume=auto", ranks=ranks)
    assert resumed.finish(tally) == 0
    assert resumed.log.name == "result_1.txt"
    assert values_of(resumed.log, "resumed") == [1]
    assert values_of(resumed.log, "seed") == [5]
    assert read_summary(resumed.log).status == "aborted"  # never a timed result
    assert not newest_first(resumed.logs)  # the target is reached
    assert (resumed.logs / "weights_1.safetensors").exists()


def test_a_run_with_restarts_goes_on_from_its_last_checkpoint(start, tally):
    kill = fault(rank=1, phase="epoch 2", step=1, signal=signal.SIGKILL)
    run = start(
        *("--target-accuracy=1", "--epochs=2", "--checkpoint-epochs=1", "--max-restarts=1"),
        faults=[kill],
        ranks=2,
    )
    assert run.finish(tally) == 3
    reason = "rank 1 in epoch 2 was killed by SIGKILL"
    assert run.error == f"cloudmask train: error: {reason}\n"
    assert "\nrestart 1 of 1\n" in run.output
    first, second = run.all_logs
    assert stops(first) == [("aborted", reason)]
    assert values_of(first, "fault") == [reason]
    assert values_of(second, "fault") == []
    assert values_of(second, "resumed") == [1]
    assert values_of(second, "seed") == values_of(first, "seed")
    assert len(values_of(second, "epoch_stop")) == 1


def test_a_run_that_has_used_up_its_restarts_ends(start, tally):
    kill = fault(phase="staging", signal=signal.SIGKILL, restarts=(0, 1))
    run = start("--max-restarts=1", faults=[kill])
    assert run.finish(tally) == 5
    reason = "rank 0 in staging was killed by SIGKILL"
    assert run.error == f"cloudmask train: error: {reason}\n" * 2
    for log in run.all_logs:
        assert stops(log) == [("aborted", reason)]
        assert values_of(log, "fault") == [reason]
    assert len(run.all_logs) == 2
    assert values_of(run.log, "resumed") == [0]  # not one whole run: it had begun before
