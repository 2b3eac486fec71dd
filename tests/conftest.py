"""Scenes to test with: small in the making, real in their schema."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

REFERENCE = Path(__file__).parent / "reference"
SceneWriter = Callable[..., Path]


def product_name(number: int) -> str:
    """A valid SLSTR product name; names sort by number."""
    day = f"201910{number + 1:02d}"
    times = f"{day}T113221_{day}T113521_{day}T153211"
    return f"S3A_SL_1_RBT____{times}_0179_050_023_1980_LN2_O_NT_003.hdf"


@pytest.fixture(scope="session")
def reference_scalars() -> dict[str, Any]:
    """Single numbers and index lists of the reference implementation."""
    scalars: dict[str, Any] = json.loads((REFERENCE / "scalars.json").read_text())
    return scalars


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


def write_scene(path: Path, **changes: Any) -> Path:
    """A scene of constant data in a small, compressed file.

    A change names a data set and gives its array, a single value for all its pixels, or None to
    leave it out.
    """
    shapes = {"refs": 6, "bts": 3, "rads": 6, "bayes": 1, "summary": 1}
    values: dict[str, Any] = {"refs": 0.4, "bts": 285.0, "rads": 0.1, "bayes": 0, "summary": 0}
    path.parent.mkdir(parents=True, exist_ok=True)
    with h5py.File(path, "w") as file:
        for name, value in {**values, **changes}.items():
            if value is None:
                continue
            if np.ndim(value) == 0:
                shape = (1200, 1500, shapes.get(name, 1))
                # Nothing is stored: HDF5 hands out the fill value.
                file.create_dataset(name, shape, np.float32, chunks=True, fillvalue=value)
            else:
                file.create_dataset(name, data=value, compression="lzf", fletcher32=True)
    return path


def write_learnable_scene(path: Path, seed: int) -> Path:
    """A scene whose label follows from its pixels: cold and bright is cloud."""
    rng = np.random.default_rng(seed)
    blocks = (rng.random((24, 30)) > 0.5).astype(np.float32)
    cloud = blocks.repeat(50, axis=0).repeat(50, axis=1)[..., None]
    noise = rng.standard_normal((1200, 1500, 1), np.float32)
    return write_scene(
        path,
        bts=(288 - 25 * cloud + noise).repeat(3, axis=2),
        refs=(0.1 + 0.6 * cloud + 0.02 * noise).repeat(6, axis=2),
        bayes=cloud,
        truth=cloud,
        summary=cloud,
    )


@pytest.fixture(scope="session")
def learnable_data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data folder of five training scenes and one inference scene that train in no time."""
    folder = tmp_path_factory.mktemp("learnable")
    for number in range(5):
        write_learnable_scene(folder / "training" / product_name(number), number)
    write_learnable_scene(folder / "inference" / product_name(9), 9)
    return folder
