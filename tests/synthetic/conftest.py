"""The synthetic scenes of the session, and their data sets."""

from __future__ import annotations

from pathlib import Path

import pytest

from cloudmask.scenes.layout import list_scenes
from tests.synthetic.scene_data import Scene, read


@pytest.fixture(scope="module")
def paths(synthetic_data: Path) -> list[Path]:
    """Tropical day, polar night, another tropical day, another polar night."""
    return list_scenes(synthetic_data, "training") + list_scenes(synthetic_data, "inference")


@pytest.fixture(scope="module")
def scenes(paths: list[Path]) -> list[Scene]:
    return [read(path) for path in paths]
