"""Jumps of the system clock, which dates the log."""

from __future__ import annotations

import time

import pytest

from cloudmask.timed_run.clock import clock_jump, clock_offset


def test_the_offset_is_that_of_the_system_clock():
    assert time.monotonic() + clock_offset() == pytest.approx(time.time(), abs=0.5)


@pytest.mark.parametrize(
    ("seconds", "described"), [(3600, "+3600.0"), (-1.5, "-1.5"), (1.1, "+1.1")]
)
def test_a_jump_of_more_than_a_second_is_described(seconds, described):
    jumped = clock_jump(clock_offset() - seconds)
    assert jumped.startswith(f"the system's clock jumped by {described} s during the run")


@pytest.mark.parametrize("seconds", [0, 0.9, -0.9])
def test_a_smaller_drift_is_not_a_jump(seconds):
    assert clock_jump(clock_offset() - seconds) == ""
