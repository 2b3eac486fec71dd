"""Phases of a run, as console and supervisor see them."""

from __future__ import annotations

import pytest

from cloudmask.console import Console
from cloudmask.distributed.heartbeat import FOLDER_VARIABLE, Heartbeat, create_status_file
from cloudmask.timed_run.progress import both, phase


@pytest.fixture
def rank(tmp_path, monkeypatch):
    """A rank's heartbeat, and its status as its supervisor reads it."""
    (status,) = create_status_file(tmp_path, 1)
    monkeypatch.setenv(FOLDER_VARIABLE, str(tmp_path))
    monkeypatch.setenv("LOCAL_RANK", "0")
    return Heartbeat(), status


def test_a_phase_is_named_to_the_supervisor_and_must_make_progress_until_it_ends(rank):
    heartbeat, status = rank
    heartbeat.wait()
    with phase(Console(visible=False), heartbeat, 3, "epoch 1") as progress:
        assert status.text("phase") == "epoch 1"
        assert not status.waiting
        status.last_progress = 0
        progress(1)
        assert status.last_progress > 0
    assert status.waiting


def test_a_rank_that_fails_in_a_phase_is_not_waiting_for_others(rank):
    heartbeat, status = rank
    with (
        pytest.raises(ZeroDivisionError),
        phase(Console(visible=False), heartbeat, 3, "epoch 1"),
    ):
        raise ZeroDivisionError
    assert status.text("phase") == "epoch 1"
    assert not status.waiting


def test_both_functions_are_called_with_the_steps():
    first, second = [], []
    both(first.append, second.append)(3)
    assert (first, second) == ([3], [3])
