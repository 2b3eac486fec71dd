"""The status that a rank reports from its own process, as its supervisor reads it."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

from cloudmask.distributed.heartbeat import (
    Heartbeat,
    create_status_file,
    seconds_since_progress,
)


def report(folder: Path, rank: int, calls: str) -> None:
    """Make these calls on the heartbeat of a rank, in a process of its own."""
    program = f"from cloudmask.distributed.heartbeat import Heartbeat; h = Heartbeat(); {calls}"
    environment = {**os.environ, "SUPERVISOR_FOLDER": str(folder), "LOCAL_RANK": str(rank)}
    subprocess.run([sys.executable, "-c", program], env=environment, check=True)


def test_a_rank_starts_in_the_phase_start_and_is_expected_to_make_progress(tmp_path):
    before = time.monotonic()
    (status,) = create_status_file(tmp_path, 1)
    assert (status.text("phase"), status.waiting) == ("start", False)
    assert before <= status.last_progress <= time.monotonic()


def test_progress_and_waiting_are_seen_by_the_supervisor(tmp_path):
    first, second = create_status_file(tmp_path, 2)
    first.last_progress = second.last_progress = 0.0
    before = time.monotonic()
    report(tmp_path, 1, "h.enter('epoch 4'); h.progress()")
    assert (second.text("phase"), second.waiting) == ("epoch 4", False)
    assert before <= second.last_progress <= time.monotonic()
    assert first.last_progress == 0
    report(tmp_path, 1, "h.wait()")
    assert second.waiting
    report(tmp_path, 1, "h.enter('evaluation 4')")
    assert (second.text("phase"), second.waiting) == ("evaluation 4", False)


def test_a_failure_is_reported_with_its_reason_exit_code_and_time(tmp_path):
    (status,) = create_status_file(tmp_path, 1)
    assert status.failed_at == 0
    before = time.monotonic()
    report(tmp_path, 0, "h.fail('a bad scene', 2, 'a traceback')")
    assert (status.text("reason"), status.exit_code) == ("a bad scene", 2)
    assert status.text("traceback") == "a traceback"
    assert before <= status.failed_at <= time.monotonic()


def test_a_text_that_is_too_long_is_cut_and_damages_no_other(tmp_path):
    (status,) = create_status_file(tmp_path, 1)
    status.set_text("reason", "the reason")
    status.set_text("log", "é" * 4000)
    assert status.text("log") == "é" * 1023
    assert status.text("reason") == "the reason"


def test_the_rank_that_made_progress_last_counts(tmp_path):
    statuses = create_status_file(tmp_path, 2)
    statuses[0].last_progress, statuses[1].last_progress = 100.0, 103.0
    assert seconds_since_progress(statuses, 110.0) == 7.0


def test_a_rank_without_a_supervisor_reports_to_nobody(monkeypatch):
    monkeypatch.delenv("SUPERVISOR_FOLDER", raising=False)
    heartbeat = Heartbeat()
    heartbeat.enter("epoch 1")
    assert not heartbeat.supervised
