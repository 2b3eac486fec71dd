"""Scenes in the data set's HDF5 files: `refs`, `bts` and masks, on the 1 km grid.

`refs` may also be on the instrument's own 0.5 km grid; it is then averaged.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import h5py
import numpy as np
from numpy.typing import NDArray

from cloudmask.scenes.baseline import baseline_of, remove_correction
from cloudmask.scenes.hdf5 import CheckedFile, open_hdf5, read_rectangle
from cloudmask.scenes.missing import average_2x2
from cloudmask.scenes.scene import (
    Scene,
    make_scene,
    normalise_reflectances,
    normalise_temperatures,
)
from cloudmask.scenes.slstr import (
    GRID_1KM,
    GRID_500M,
    REFLECTANCES,
    ROWS,
    TEMPERATURES,
    WHOLE_SCENE,
    Region,
)

# What is read and worked on at a time: small enough to stay in a cache, large enough that the
# fixed cost of a call of HDF5 does not matter.
BAND_BYTES = 2**20

GENERATOR_ATTRIBUTE = "generator"  # names the program that made a synthetic scene
# Name of the data set that a synthetic scene belongs to; without it: 'synthetic'.
DATASET_ATTRIBUTE = "dataset"
NUMBERS = "fiub"  # NumPy kinds of a mask

Group = Literal["refs", "bts", "label"]


@dataclass(frozen=True)
class Band:
    """Some rows of one group of a region; its array is used again for the next band.

    Attributes:
        group: 'refs', 'bts' or 'label'.
        region: number of the region, in the order given.
        rows: rows of the region.
        values: (rows, columns, 6) or (rows, columns, 3) float32, normalised, 0
            before that where missing; or the label, (rows, columns) bool: `bayes` > 0.
    """

    group: Group
    region: int
    rows: slice
    values: NDArray[Any]


def inspect_scene(path: Path) -> str:
    """Check a scene's headers (schema, types, where the data are) without reading its pixels.

    Returns the data set of a generated scene, 'synthetic' or 'twin'; '' for any other.

    Raises:
        SceneError: not HDF5, truncated, a data set missing, of a wrong shape or type, stored
            outside the file, or compressed with an HDF5 filter that is not installed.
    """
    with _open(path) as file:
        _refs(file)
        _bts(file)
        _bayes(file)
        if GENERATOR_ATTRIBUTE not in file.attrs:
            return ""
        return str(file.attrs.get(DATASET_ATTRIBUTE, "synthetic"))


def read_bands(path: Path, regions: Sequence[Region]) -> Iterator[Band]:
    """Read regions of one scene in narrow bands, group after group, and nothing but them.

    Raises:
        SceneError: see `inspect_scene`.
    """
    with _open(path) as file:
        refs, bts, bayes = _refs(file), _bts(file), _bayes(file)
        baseline = baseline_of(path.name)

        def normalised(values: NDArray[np.float32]) -> NDArray[np.float32]:
            remove_correction(values, baseline, "nadir")
            return normalise_reflectances(values)

        yield from _bands("refs", refs, np.dtype(np.float32), regions, normalised)
        yield from _bands("bts", bts, np.dtype(np.float32), regions, normalise_temperatures)
        yield from _bands("label", bayes, bayes.dtype, regions, lambda flags: flags[..., 0] > 0)


def read_hdf5_scene(path: Path) -> Scene:
    """Read a whole scene; its masks `bayes` and `summary` are optional.

    Raises:
        SceneError: see `inspect_scene`.
    """
    return make_scene(
        read_channels(path),
        label=read_mask(path, "bayes"),
        summary=read_mask(path, "summary"),
        baseline=baseline_of(path.name),
    )


def read_channels(path: Path) -> NDArray[np.float32]:
    """Read the channels of the whole scene, (1200, 1500, 9): reflectances, then kelvin.

    Missing values are left as they are: see `missing.missing_values`. The file needs no label.

    Raises:
        SceneError: see `inspect_scene`.
    """
    groups = [np.empty((*GRID_1KM, depth), np.float32) for depth in (REFLECTANCES, TEMPERATURES)]
    with _open(path) as file:
        for data, values in zip((_refs(file), _bts(file)), groups, strict=True):
            _read_on_1km_grid(data, WHOLE_SCENE, values)
    remove_correction(groups[0], baseline_of(path.name), "nadir")
    return np.concatenate(groups, axis=-1)


def read_mask(path: Path, name: str) -> NDArray[np.uint8] | None:
    """Read a mask, (1200, 1500) uint8: 1 where any flag of data set `name` is above 0.

    None if the file has no such data set.

    Raises:
        SceneError: the file is unusable or the data set is not on the scene's grid.
    """
    with _open(path) as file:
        if name not in file:
            return None
        flags = file.checked(name, (*GRID_1KM, None), kinds=NUMBERS)
        mask: NDArray[np.uint8] = (flags[...] > 0).any(axis=-1).astype(np.uint8)
        return mask


def read_classes(path: Path, name: str) -> tuple[NDArray[np.uint8], dict[int, str]] | None:
    """Read a classification, (1200, 1500) uint8, and the meaning of its values.

    Meanings are the attributes `flag_values` and `flag_meanings` of the CF conventions. None if
    the file has no such data set or it has no such attributes.

    Raises:
        SceneError: the file is unusable or the data set is not on the scene's grid.
    """
    with _open(path) as file:
        if name not in file:
            return None
        data = file.checked(name, (*GRID_1KM, 1), kinds=NUMBERS)
        values, meanings = data.attrs.get("flag_values"), data.attrs.get("flag_meanings")
        if values is None or not isinstance(meanings, str):
            return None
        names = dict(zip((int(value) for value in values), meanings.split(), strict=False))
        return data[..., 0].astype(np.uint8), names


def _open(path: Path) -> AbstractContextManager[CheckedFile]:
    return open_hdf5(path, path.name)


def _refs(file: CheckedFile) -> h5py.Dataset:
    return file.checked("refs", (*GRID_1KM, REFLECTANCES), (*GRID_500M, REFLECTANCES), kinds="f")


def _bts(file: CheckedFile) -> h5py.Dataset:
    return file.checked("bts", (*GRID_1KM, TEMPERATURES), kinds="f")


def _bayes(file: CheckedFile) -> h5py.Dataset:
    return file.checked("bayes", (*GRID_1KM, 1), kinds=NUMBERS)


def _bands(
    group: Group,
    data: h5py.Dataset,
    dtype: np.dtype[Any],
    regions: Sequence[Region],
    finish: Callable[[NDArray[Any]], NDArray[Any]],
) -> Iterator[Band]:
    """Bands of a data set, read as `dtype` and then finished."""
    for number, (rows, columns) in enumerate(regions):
        width, depth = columns.stop - columns.start, data.shape[2]
        height = max(1, BAND_BYTES // (width * depth * dtype.itemsize))
        values = np.empty((height, width, depth), dtype)
        for top in range(rows.start, rows.stop, height):
            stop = min(top + height, rows.stop)
            part = values[: stop - top]
            _read_on_1km_grid(data, (slice(top, stop), columns), part)
            yield Band(group, number, slice(top - rows.start, stop - rows.start), finish(part))


def _read_on_1km_grid(data: h5py.Dataset, region: Region, out: NDArray[Any]) -> None:
    """Read the region of a data set; 0.5 km pixels are averaged 2 x 2."""
    if data.shape[0] == ROWS:
        read_rectangle(data, *region, out)
        return
    fine = (slice(2 * part.start, 2 * part.stop) for part in region)
    out[...] = average_2x2(data[tuple(fine)])
