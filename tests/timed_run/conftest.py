"""Timed runs without what comes after the clock."""

from __future__ import annotations

import pytest

from cloudmask.timed_run import result


@pytest.fixture
def without_inference(monkeypatch):
    """Runs end with an empty result: what they do before is of interest."""
    monkeypatch.setattr(result, "score_scenes", lambda *arguments: [])
