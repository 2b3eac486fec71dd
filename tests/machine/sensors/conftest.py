"""A machine with energy counters, and one with GPUs."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.machine.fake_driver import nvidia_driver
from tests.machine.sensors.powercap import Powercap

__all__ = ["nvidia_driver"]


@pytest.fixture
def powercap(tmp_path: Path) -> Powercap:
    """The tree, with all counters at 0."""
    return Powercap(tmp_path / "class")
