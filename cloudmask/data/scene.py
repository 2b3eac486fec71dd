"""One SLSTR scene in an HDF5 file: find it, check it, read it as a normalised image and a label.

A scene covers 1200 rows x 1500 columns of 1 km pixels. The image has nine channels: the six
reflectances S1-S6, then the brightness temperatures S7 (3.7 um), S8 (10.85 um) and S9 (12 um).
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import h5py
import numpy as np
from numpy.typing import NDArray

from cloudmask.errors import InputError

ROWS, COLUMNS = 1200, 1500
REFLECTANCES, TEMPERATURES = 6, 3
CHANNELS = REFLECTANCES + TEMPERATURES

# The reference pipeline's fixed normalisation: it centres both groups and scales them alike.
REFLECTANCE_OFFSET = 0.5
TEMPERATURE_OFFSET_KELVIN = 270.0
TEMPERATURE_SCALE_KELVIN = 22.0

# No measurement is this far from the centre once normalised; what is, is a fill value.
LARGEST_VALUE = 1e4

# Where each subset lies; the second name of a pair is the one of older copies of the data set.
SUBSET_FOLDERS = {"training": ("training", "one-day"), "inference": ("inference", "ssts")}
SCENE_PATTERN = "S3[AB]*.hdf"

WHOLE_SCENE = (slice(0, ROWS), slice(0, COLUMNS))
Region = tuple[slice, slice]


class SceneError(InputError):
    """A scene that cannot be used; the message starts with the file's name."""


def list_scenes(datadir: Path, subset: str) -> list[Path]:
    """Paths of the scenes of a subset ('training' or 'inference'), sorted by path.

    Raises:
        InputError: `datadir` is missing, is not a folder, or holds no scene of this subset.
    """
    if not datadir.is_dir():
        problem = "is not a folder" if datadir.exists() else "does not exist"
        raise InputError(f"DATADIR {datadir} {problem}: give the folder that holds training/")
    folders = SUBSET_FOLDERS[subset]
    scenes = sorted(
        path
        for folder in folders
        for path in (datadir / folder).rglob(SCENE_PATTERN)
        if path.is_file()
    )
    if not scenes:
        places = " or ".join(f"{folder}/" for folder in folders)
        raise InputError(
            f"DATADIR {datadir} holds no {subset} scene: expected files {SCENE_PATTERN} in {places}"
        )
    return scenes


def inspect_scene(path: Path) -> None:
    """Check a scene's headers (schema, types, where the data sit) without reading its pixels.

    Raises:
        SceneError: not HDF5, truncated, a group missing, a wrong shape or type, or data that
            sit outside the file.
    """
    with _opened(path) as file:
        _reflectances(file, path)
        _dataset(file, path, "bts", (ROWS, COLUMNS, TEMPERATURES), "f")
        _label(file, path)


def read_scene(path: Path) -> tuple[NDArray[np.float32], NDArray[np.uint8]]:
    """The whole scene: image (1200, 1500, 9) float32 normalised, label (1200, 1500) uint8.

    Missing values (NaN, infinities, fill values) become 0, the centre of the normalised range;
    zeros of the image border are kept as they are. The label is 1 where the Bayesian mask flags
    cloud (`bayes` > 0), else 0.

    Raises:
        SceneError: see `inspect_scene`.
    """
    return read_region(path, WHOLE_SCENE)


def read_region(path: Path, region: Region) -> tuple[NDArray[np.float32], NDArray[np.uint8]]:
    """`read_scene` for a rectangle of 1 km pixels (row slice, column slice), reading no more."""
    with _opened(path) as file:
        bayes = _label(file, path)
        image = _channels(file, path, region)
        label = (bayes[region[0], region[1], 0] > 0).astype(np.uint8)
    return normalise(image), label


def read_channels(path: Path) -> NDArray[np.float32]:
    """Channels (1200, 1500, 9) as they are in the file: S1-S6 reflectances, then S7-S9 in kelvin.

    The scene needs no label. Missing values are whatever the file holds: NaN, fill values, zeros.

    Raises:
        SceneError: the file is unusable, or `refs` or `bts` is missing or wrong.
    """
    with _opened(path) as file:
        return _channels(file, path, WHOLE_SCENE)


def normalise(channels: NDArray[np.float32]) -> NDArray[np.float32]:
    """Turn channels (..., 9) into the network's image, in place; missing values become 0."""
    channels[..., :REFLECTANCES] -= REFLECTANCE_OFFSET
    temperatures = channels[..., REFLECTANCES:]
    temperatures -= TEMPERATURE_OFFSET_KELVIN
    temperatures /= TEMPERATURE_SCALE_KELVIN
    channels[~(np.abs(channels) < LARGEST_VALUE)] = 0
    return channels


def read_mask(path: Path, name: str) -> NDArray[np.uint8] | None:
    """A mask of the file, (1200, 1500) uint8: 1 where any flag of data set `name` is above 0.

    None if the file has no such data set.

    Raises:
        SceneError: the file is unusable or the data set is not on the scene's grid.
    """
    with _opened(path) as file:
        if name not in file:
            return None
        flags = _dataset(file, path, name, (ROWS, COLUMNS, None), "fiub")
        mask: NDArray[np.uint8] = (flags[...] > 0).any(axis=-1).astype(np.uint8)
        return mask


def is_synthetic(path: Path) -> bool:
    """Whether the scene says of itself that this project's generator made it."""
    with _opened(path) as file:
        return "generator" in file.attrs


def read_classes(path: Path, name: str) -> tuple[NDArray[np.uint8], dict[int, str]] | None:
    """A classification of the pixels, (1200, 1500) uint8, and what its values mean.

    The data set `name` tells by the attributes of the CF conventions, `flag_values` and
    `flag_meanings`. None if the file has no such data set or it does not tell.

    Raises:
        SceneError: the file is unusable or the data set is not on the scene's grid.
    """
    with _opened(path) as file:
        if name not in file:
            return None
        data = _dataset(file, path, name, (ROWS, COLUMNS, 1), "fiub")
        values, meanings = data.attrs.get("flag_values"), data.attrs.get("flag_meanings")
        if values is None or not isinstance(meanings, str):
            return None
        names = dict(zip((int(value) for value in values), meanings.split(), strict=False))
        return data[..., 0].astype(np.uint8), names


@contextmanager
def _opened(path: Path) -> Iterator[h5py.File]:
    """The file for reading; whatever HDF5 says while it is open becomes one clear sentence."""
    try:
        # Locking would fail on read-only and on many parallel file systems, and nobody writes.
        with h5py.File(path, "r", locking=False) as file:
            yield file
    except (OSError, RuntimeError, KeyError) as error:
        raise SceneError(f"{path.name}: {_reason(path, error)}") from error


def _reason(path: Path, error: Exception) -> str:
    text = " ".join(str(error).replace(str(path), path.name).split())
    if not path.exists():
        return "the file is not there any more; fetch it again"
    if "truncated file" in text:
        return f"the file is truncated at {path.stat().st_size} bytes; fetch it again"
    if path.is_file() and "signature not found" in text:
        return "the file is not HDF5; remove it or fetch it again"
    return f"the file cannot be read ({text}); fetch it again"


def _reflectances(file: h5py.File, path: Path) -> h5py.Dataset:
    """`refs`, on the 1 km grid or on the instrument's own 0.5 km grid."""
    coarse = (ROWS, COLUMNS, REFLECTANCES)
    fine = (2 * ROWS, 2 * COLUMNS, REFLECTANCES)
    return _dataset(file, path, "refs", coarse, "f", also=fine)


def _channels(file: h5py.File, path: Path, region: Region) -> NDArray[np.float32]:
    rows, columns = region
    refs = _reflectances(file, path)
    bts = _dataset(file, path, "bts", (ROWS, COLUMNS, TEMPERATURES), "f")
    shape = (rows.stop - rows.start, columns.stop - columns.start, CHANNELS)
    channels = np.empty(shape, np.float32)
    channels[..., :REFLECTANCES] = _read_on_1km_grid(refs, region)
    channels[..., REFLECTANCES:] = bts[rows, columns]
    return channels


def _label(file: h5py.File, path: Path) -> h5py.Dataset:
    return _dataset(file, path, "bayes", (ROWS, COLUMNS, 1), "fiub")


def _dataset(
    file: h5py.File,
    path: Path,
    name: str,
    shape: tuple[int | None, ...],
    kinds: str,
    also: tuple[int | None, ...] | None = None,
) -> h5py.Dataset:
    """A data set whose values lie inside this very file, with the shape and kind expected.

    A link or a layout that points elsewhere could make the reader open any file of the host, so
    these are refused rather than followed.
    """
    link = file.get(name, getlink=True)
    if link is None:
        raise SceneError(f"{path.name}: '{name}' is missing; this is not a CloudMask scene")
    if not isinstance(link, h5py.HardLink):
        raise SceneError(
            f"{path.name}: '{name}' is a link to data elsewhere, which is refused; "
            "copy the data into the file"
        )
    data = file[name]
    if not isinstance(data, h5py.Dataset):
        raise SceneError(f"{path.name}: '{name}' is not a data set; this is not a CloudMask scene")
    if data.is_virtual or data.external:
        raise SceneError(
            f"{path.name}: '{name}' keeps its values in another file, which is refused; "
            "copy the data into the file"
        )
    if not any(_fits(data.shape, expected) for expected in (shape, also) if expected is not None):
        wanted = _shape_text(shape) + (f" or {_shape_text(also)}" if also else "")
        raise SceneError(f"{path.name}: '{name}' has shape {data.shape}, expected {wanted}")
    if data.dtype.kind not in kinds:
        wanted = "floating point" if kinds == "f" else "numbers"
        raise SceneError(f"{path.name}: '{name}' has type {data.dtype}, expected {wanted}")
    return data


def _fits(shape: tuple[int, ...] | None, expected: tuple[int | None, ...]) -> bool:
    return (
        shape is not None
        and len(shape) == len(expected)
        and all(want is None or have == want for have, want in zip(shape, expected, strict=True))
    )


def _shape_text(shape: tuple[int | None, ...]) -> str:
    return "(" + ", ".join("any" if length is None else str(length) for length in shape) + ")"


def _read_on_1km_grid(refs: h5py.Dataset, region: Region) -> NDArray[np.float32]:
    """The region's reflectances; 0.5 km pixels are averaged 2 x 2, leaving missing ones out."""
    rows, columns = region
    if refs.shape[0] == ROWS:
        coarse: NDArray[np.float32] = refs[rows, columns]
        return coarse
    fine = refs[2 * rows.start : 2 * rows.stop, 2 * columns.start : 2 * columns.stop]
    blocks = fine.reshape(fine.shape[0] // 2, 2, fine.shape[1] // 2, 2, REFLECTANCES)
    present = np.isfinite(blocks)
    total = np.where(present, blocks, 0).sum(axis=(1, 3), dtype=np.float32)
    count = present.sum(axis=(1, 3))
    average: NDArray[np.float32] = np.full(total.shape, np.nan, np.float32)
    np.divide(total, count, out=average, where=count > 0)
    return average
