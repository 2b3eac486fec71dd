"""Scenes and filled stores that the tests of a class share."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from cloudmask.patches.store import Share, StorePlan
from tests.patches.plain_patches import plain_patches
from tests.scene_files import product_name, write_scene


def write_distinct_scene(path: Path, seed: int) -> Path:
    """A scene whose channels differ, whose rows differ, and whose columns do every 10 pixels."""
    rng = np.random.default_rng(seed)
    refs, bts = (rng.random((1200, 150, n), np.float32).repeat(10, axis=1) for n in (6, 3))
    return write_scene(path, refs=refs, bts=250 + 50 * bts, bayes=bts[..., :1] < 0.4)


@pytest.fixture(scope="session")
def scenes(tmp_path_factory):
    folder = tmp_path_factory.mktemp("scenes")
    return [write_distinct_scene(folder / product_name(n), n) for n in range(2)]


@pytest.fixture(scope="session")
def expected(scenes):
    """Patches of all scenes, and their labels."""
    return plain_patches(scenes, 256)


@pytest.fixture(scope="class")
def store(request, scenes, tmp_path_factory):
    """Patches 13 to 32 of 40: the end of a scene and the start of another."""
    plan = StorePlan(scenes, Share(13, 20), 256, torch.float32)
    return request.cls.stage(tmp_path_factory.mktemp("scratch"), plan)
