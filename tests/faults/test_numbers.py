"""Losses that are no numbers, and clocks that jump: the run ends aborted and is not restarted."""

from __future__ import annotations

import pytest

from tests.faults.faulty_run import stops
from tests.runs import fault

pytestmark = pytest.mark.slow


def test_a_loss_that_is_not_a_number_ends_the_run_without_restart(start, tally):
    run = start("--learning-rate=1e30", "--precision=float32", "--max-restarts=3", ranks=2)
    assert run.finish(tally) == 3
    reason = "the training loss of epoch 1 is nan: use a lower learning_rate"
    assert f"\nrun aborted: {reason}\n" in run.output
    assert stops(run.log) == [("aborted", reason)]
    assert len(run.all_logs) == 1
    assert run.error == ""


@pytest.mark.parametrize("jump", [3600, -3600])
def test_a_clock_that_jumps_spoils_the_time_and_nothing_else(start, tally, jump):
    code = f"import time; real = time.time; time.time = lambda: real() + {jump}"
    run = start("--target-accuracy=0.01", faults=[fault(phase="epoch 1", code=code)])
    assert run.finish(tally) == 3
    ((status, reason),) = stops(run.log)
    assert status == "aborted"
    assert reason.startswith(f"the system's clock jumped by {jump:+}.0 s")
    assert f"\nrun aborted: {reason}\n" in run.output
    assert (run.logs / "weights_0.safetensors").exists()
    assert run.error == ""
