"""Scenes to test with: small in the making, real in their schema."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from cloudmask.scenes.hdf5_scene import read_channels, read_mask
from cloudmask.scenes.scene import normalise

SYNTHETIC_SEED = 3  # of the synthetic data that all tests share


def product_name(number: int) -> str:
    """A valid SLSTR product name; names sort by number."""
    day = f"201910{number + 1:02d}"
    times = f"{day}T113221_{day}T113521_{day}T153211"
    return f"S3A_SL_1_RBT____{times}_0179_050_023_1980_LN2_O_NT_003.hdf"


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


def compress_with_missing_filter(path: Path, name: str, filter_number: int = 32015) -> Path:
    """Replace a data set of a scene by one that is compressed with a filter that is not installed.

    Its chunk is not what the filter would write: nobody here could read it.
    """
    with h5py.File(path, "a") as file:
        shape = file[name].shape
        del file[name]
        creation = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
        creation.set_chunk(shape)
        creation.set_filter(filter_number, h5py.h5z.FLAG_OPTIONAL, (3,))
        space = h5py.h5s.create_simple(shape)
        data = h5py.h5d.create(file.id, name.encode(), h5py.h5t.NATIVE_FLOAT, space, creation)
        data.write_direct_chunk((0,) * len(shape), b"compressed")
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


def read_image_and_label(path: Path) -> tuple[NDArray[np.float32], NDArray[np.uint8]]:
    """The network's image (1200, 1500, 9) of a scene, and its label (1200, 1500)."""
    label = read_mask(path, "bayes")
    assert label is not None
    return normalise(read_channels(path)), label
