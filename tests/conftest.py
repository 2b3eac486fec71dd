"""Data that many tests share: the reference's numbers, and a data folder that trains in no time."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.distributed as dist
from torch._C._distributed_c10d import HashStore

from cloudmask.distributed.process_group import World
from cloudmask.synthetic.generate import synthesize
from tests.in_process import training_in_this_process
from tests.paths import REAL, REFERENCE
from tests.scene_files import SYNTHETIC_SEED, product_name, write_learnable_scene

pytest_plugins = ["pytester", "tests.gate"]


@pytest.fixture(scope="session")
def reference_scalars() -> dict[str, Any]:
    """Single numbers and index lists of the reference implementation."""
    scalars: dict[str, Any] = json.loads((REFERENCE / "scalars.json").read_text())
    return scalars


@pytest.fixture
def real() -> Callable[[str], Path]:
    """The path of a file of the real material; skips the test, naming it, where it is missing."""

    def path(name: str) -> Path:
        if not (REAL / name).exists():
            pytest.skip(f"no real material: {name}")
        return REAL / name

    return path


@pytest.fixture(scope="session")
def reference_scene() -> dict[str, np.ndarray]:
    """The data sets of the scene that tests/reference/README.md describes."""
    y, x = np.mgrid[0:1200, 0:1500].astype(np.float64)
    p = (1234 % 97) / 97
    wave = 0.001 * (7 * y + 3 * x)
    slow = 0.002 * (2 * y + 5 * x)
    refs = np.stack([0.5 + 0.5 * np.sin(wave + c + p) for c in range(6)], axis=-1)
    bts = np.stack([270 + 22 * np.cos(slow + c + p) for c in range(3)], axis=-1)
    bayes = (y // 50 + x // 70) % 3
    return {
        "refs": refs.astype(np.float32),
        "bts": bts.astype(np.float32),
        "bayes": bayes[..., None].astype(np.float32),
    }


@pytest.fixture(scope="session")
def two_scenes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A scene to learn from, one to validate on and one to infer."""
    folder = tmp_path_factory.mktemp("two-scenes")
    for number in range(2):
        write_learnable_scene(folder / "training" / product_name(number), number)
    write_learnable_scene(folder / "inference" / product_name(9), 9)
    return folder


@pytest.fixture(scope="session")
def small_data(two_scenes: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same scenes in the folders of DS1: 20 patches to train on."""
    folder = tmp_path_factory.mktemp("small")
    for subset, target in (("training", "one-day"), ("inference", "ssts/night")):
        (folder / target).mkdir(parents=True)
        for scene in (two_scenes / subset).iterdir():
            (folder / target / scene.name).symlink_to(scene)
    return folder


@pytest.fixture(scope="session")
def synthetic_data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The synthetic data of all tests: a day and a night scene each to train on and to evaluate."""
    folder = tmp_path_factory.mktemp("synthetic")
    synthesize(folder, 2, 2, SYNTHETIC_SEED, processes=2)
    return folder


@pytest.fixture
def alone() -> Iterator[World]:
    """A process group of one rank."""
    dist.init_process_group("gloo", store=HashStore(), rank=0, world_size=1)
    yield World(0, 1, 0, 1, torch.device("cpu"))
    dist.destroy_process_group()


@pytest.fixture
def train_here() -> Iterator[Callable[..., int]]:
    """`cloudmask train` as a function of flags; see `tests.in_process`."""
    with training_in_this_process() as train:
        yield train
