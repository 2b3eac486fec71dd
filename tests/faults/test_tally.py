"""The sum of all injected faults; runs last, as its name does."""

from __future__ import annotations

import pytest

pytestmark = pytest.mark.slow


def test_no_fault_hung_left_a_process_passed_for_success_or_lost_a_checkpoint(tally, capsys):
    if len(tally.faults) < 20:
        pytest.skip(f"only {len(tally.faults)} faults were injected: run the whole folder")
    with capsys.disabled():
        print(
            f"\n{len(tally.faults)} faults injected: {len(tally.hangs)} hangs, "
            f"{len(tally.left_processes)} left processes, "
            f"{len(tally.called_success)} logs called success, "
            f"{len(tally.lost_checkpoints)} lost checkpoints"
        )
    assert tally.hangs == []
    assert tally.left_processes == []
    assert tally.called_success == []
    assert tally.lost_checkpoints == []
