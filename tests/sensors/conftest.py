"""A machine with energy counters."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.sensors.powercap import Powercap


@pytest.fixture
def powercap(tmp_path: Path) -> Powercap:
    """The tree, with all counters at 0."""
    return Powercap(tmp_path / "powercap")
