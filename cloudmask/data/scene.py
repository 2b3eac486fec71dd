"""One SLSTR scene in an HDF5 file: find it, check it, read it as a normalised image and a label.

A scene covers 1200 rows x 1500 columns of 1 km pixels. The image has nine channels: the six
reflectances S1-S6, then the brightness temperatures S7 (3.7 um), S8 (10.85 um) and S9 (12 um).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

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

# Rows that are read and worked on at a time: a band of all groups stays in a core's own cache.
BAND_ROWS = 32
# Where a file is chunked, whole chunks are kept between bands; none is known to be larger.
CHUNK_CACHE_BYTES = 256 * 2**20


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
        own_dataset(file, path, "bts", (ROWS, COLUMNS, TEMPERATURES), "f")
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
    rows, columns = region
    shape = (rows.stop - rows.start, columns.stop - columns.start)
    image, label = np.empty((*shape, CHANNELS), np.float32), np.empty(shape, np.uint8)
    for band in read_bands(path, [region]):
        interleave(band.refs, band.bts, out=image[band.rows])
        label[band.rows] = band.label
    return image, label


@dataclass(frozen=True)
class Band:
    """Some rows of a region, normalised; its arrays are used again for the next band.

    Attributes:
        region: number of the region, in the order given.
        rows: the rows of the region.
        refs: (rows, columns, 6) float32, missing values 0.
        bts: (rows, columns, 3) float32, missing values 0.
        label: (rows, columns) bool.
    """

    region: int
    rows: slice
    refs: NDArray[np.float32]
    bts: NDArray[np.float32]
    label: NDArray[np.bool_]


def read_bands(path: Path, regions: Sequence[Region]) -> Iterator[Band]:
    """Regions of one scene in narrow bands, from top to bottom, reading nothing but them.

    Raises:
        SceneError: see `inspect_scene`.
    """
    with _opened(path) as file:
        refs = _reflectances(file, path)
        bts = own_dataset(file, path, "bts", (ROWS, COLUMNS, TEMPERATURES), "f")
        bayes = _label(file, path)
        for number, (rows, columns) in enumerate(regions):
            width = columns.stop - columns.start
            read_refs = np.empty((BAND_ROWS, width, REFLECTANCES), np.float32)
            read_bts = np.empty((BAND_ROWS, width, TEMPERATURES), np.float32)
            read_bayes = np.empty((BAND_ROWS, width, 1), bayes.dtype)
            for top in range(rows.start, rows.stop, BAND_ROWS):
                band = (slice(top, min(top + BAND_ROWS, rows.stop)), columns)
                height = band[0].stop - top
                _read_on_1km_grid(refs, band, read_refs[:height])
                _read_into(read_bts[:height], bts, band)
                _read_into(read_bayes[:height], bayes, band)
                yield Band(
                    number,
                    slice(top - rows.start, top - rows.start + height),
                    _normalised(read_refs[:height], REFLECTANCE_OFFSET, 1.0),
                    _normalised(
                        read_bts[:height], TEMPERATURE_OFFSET_KELVIN, TEMPERATURE_SCALE_KELVIN
                    ),
                    read_bayes[:height, :, 0] > 0,
                )


def interleave(refs: NDArray[Any], bts: NDArray[Any], out: NDArray[Any]) -> None:
    """Put (..., 6) reflectances and (..., 3) temperatures side by side into `out` (..., 9).

    All are of one type. Groups are copied as opaque wholes: element by element takes three times
    as long.
    """
    pixel = np.dtype(
        [
            ("refs", f"V{REFLECTANCES * out.itemsize}"),
            ("bts", f"V{TEMPERATURES * out.itemsize}"),
        ]
    )
    pixels = out.view(pixel)[..., 0]
    pixels["refs"] = refs.view(pixel["refs"])[..., 0]
    pixels["bts"] = bts.view(pixel["bts"])[..., 0]


def read_measurements(path: Path) -> NDArray[np.float32]:
    """What the file holds of the whole scene, (1200, 1500, 9): reflectances, then kelvin.

    Missing values are left as they are. The file needs no label.

    Raises:
        SceneError: see `inspect_scene`.
    """
    refs = np.empty((ROWS, COLUMNS, REFLECTANCES), np.float32)
    bts = np.empty((ROWS, COLUMNS, TEMPERATURES), np.float32)
    with _opened(path) as file:
        _read_on_1km_grid(_reflectances(file, path), WHOLE_SCENE, refs)
        own_dataset(file, path, "bts", bts.shape, "f").read_direct(bts)
    measurements = np.empty((ROWS, COLUMNS, CHANNELS), np.float32)
    interleave(refs, bts, out=measurements)
    return measurements


def normalise(measurements: NDArray[np.float32]) -> NDArray[np.float32]:
    """The network's image of reflectances and kelvin (..., 9), in the same memory."""
    _normalised(measurements[..., :REFLECTANCES], REFLECTANCE_OFFSET, 1.0)
    _normalised(
        measurements[..., REFLECTANCES:], TEMPERATURE_OFFSET_KELVIN, TEMPERATURE_SCALE_KELVIN
    )
    return measurements


def measured(measurements: NDArray[np.float32]) -> NDArray[np.bool_]:
    """Pixels (...) of reflectances and kelvin (..., 9) in which any channel saw anything.

    Fill values, NaN, and the zeros of image borders are no measurement.
    """
    seen = (measurements > 0) & (measurements < LARGEST_VALUE)
    anywhere: NDArray[np.bool_] = np.any(seen, axis=-1)
    return anywhere


def read_mask(path: Path, name: str) -> NDArray[np.uint8] | None:
    """A mask of the file, (1200, 1500) uint8: 1 where any flag of data set `name` is above 0.

    None if the file has no such data set.

    Raises:
        SceneError: the file is unusable or the data set is not on the scene's grid.
    """
    with _opened(path) as file:
        if name not in file:
            return None
        flags = own_dataset(file, path, name, (ROWS, COLUMNS, None), "fiub")
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
        data = own_dataset(file, path, name, (ROWS, COLUMNS, 1), "fiub")
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
        with h5py.File(path, "r", locking=False, rdcc_nbytes=CHUNK_CACHE_BYTES) as file:
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
    return own_dataset(file, path, "refs", coarse, "f", also=fine)


def _label(file: h5py.File, path: Path) -> h5py.Dataset:
    return own_dataset(file, path, "bayes", (ROWS, COLUMNS, 1), "fiub")


def own_dataset(
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

    Raises:
        SceneError: it is missing, elsewhere, or not as expected.
    """
    link = file.get(name, getlink=True)
    if link is None:
        raise SceneError(f"{path.name}: '{name}' is missing; the file is not what it should be")
    if not isinstance(link, h5py.HardLink):
        raise SceneError(
            f"{path.name}: '{name}' is a link to data elsewhere, which is refused; "
            "copy the data into the file"
        )
    data = file[name]
    if not isinstance(data, h5py.Dataset):
        raise SceneError(
            f"{path.name}: '{name}' is not a data set; the file is not what it should be"
        )
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


def _read_on_1km_grid(refs: h5py.Dataset, region: Region, out: NDArray[np.float32]) -> None:
    """The region's reflectances; 0.5 km pixels are averaged 2 x 2."""
    if refs.shape[0] == ROWS:
        _read_into(out, refs, region)
        return
    fine = (slice(2 * part.start, 2 * part.stop) for part in region)
    out[...] = average_2x2(refs[tuple(fine)])


def _read_into(out: NDArray[Any], data: h5py.Dataset, region: Region) -> None:
    """`data.read_direct` for a rectangle, with a tenth of its cost for each call."""
    space = data.id.get_space()
    space.select_hyperslab((region[0].start, region[1].start, 0), out.shape)
    data.id.read(h5py.h5s.create_simple(out.shape), space, out)


def average_2x2(fine: NDArray[np.float32]) -> NDArray[np.float32]:
    """Means over 2 x 2 pixels of (2 H, 2 W, ...) as (H, W, ...), leaving missing ones out."""
    blocks = fine.reshape(fine.shape[0] // 2, 2, fine.shape[1] // 2, 2, *fine.shape[2:])
    present = np.isfinite(blocks)
    total = np.where(present, blocks, 0).sum(axis=(1, 3), dtype=np.float32)
    count = present.sum(axis=(1, 3))
    average: NDArray[np.float32] = np.full(total.shape, np.nan, np.float32)
    np.divide(total, count, out=average, where=count > 0)
    return average


def _normalised(values: NDArray[np.float32], offset: float, scale: float) -> NDArray[np.float32]:
    """(values - offset) / scale in place, 0 where missing."""
    values -= np.float32(offset)
    if scale != 1:
        values *= np.float32(1 / scale)
    if not _all_small(values):
        values[~(np.abs(values) < LARGEST_VALUE)] = 0
    return values


def _all_small(values: NDArray[np.float32]) -> bool:
    """Whether all are measurements for certain, in one pass: no square outgrows their sum.

    A comparison with NaN is false, so that a single one takes the longer way too.
    """
    if not values.flags.c_contiguous:
        return False
    flat = values.reshape(-1)
    return bool(np.dot(flat, flat) < LARGEST_VALUE**2)
