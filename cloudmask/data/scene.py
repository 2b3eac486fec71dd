"""One SLSTR scene in an HDF5 file: find it, check it, read it as a normalised image and a label.

A scene covers 1200 rows x 1500 columns of 1 km pixels. The image has nine channels: the six
reflectances S1-S6, then the brightness temperatures S7 (3.7 um), S8 (10.85 um) and S9 (12 um).
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeVar

import h5py
import numpy as np
from numpy.typing import NDArray

from cloudmask.errors import InputError

if TYPE_CHECKING:
    from torch import Tensor  # of which `fetch`, which needs this module, has no need

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
Pixels = TypeVar("Pixels", NDArray[Any], "Tensor")

# What is read and worked on at a time: small enough to stay in a cache, large enough that what a
# call of HDF5 costs by itself does not matter.
BAND_BYTES = 2 * 2**20
# HDF5 would gather rows in a buffer of this size, by default larger than a row, and copy twice.
SIEVE_BYTES = 1
# Where a file is chunked, whole chunks are kept between bands; none is known to be larger.
CHUNK_CACHE_BYTES = 256 * 2**20
CHUNK_CACHE_SLOTS, CHUNK_CACHE_PREEMPTION = 521, 0.75  # HDF5's own values


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
    refs, bts = by_group(image)
    for band in read_bands(path, [region]):
        if band.group == "label":
            label[band.rows] = band.values
        else:
            put_pixels(band.values, (refs if band.group == "refs" else bts)[band.rows])
    return image, label


Group = Literal["refs", "bts", "label"]


@dataclass(frozen=True)
class Band:
    """Some rows of one group of a region; its array is used again for the next band.

    Attributes:
        group: 'refs', 'bts' or 'label'.
        region: number of the region, in the order given.
        rows: the rows of the region.
        values: (rows, columns, 6) or (rows, columns, 3) float32, normalised, missing values 0;
            or the label, (rows, columns) bool.
    """

    group: Group
    region: int
    rows: slice
    values: NDArray[Any]


def read_bands(path: Path, regions: Sequence[Region]) -> Iterator[Band]:
    """Regions of one scene in narrow bands, group after group, reading nothing but them.

    Raises:
        SceneError: see `inspect_scene`.
    """
    with _opened(path) as file:
        refs = _reflectances(file, path)
        bts = own_dataset(file, path, "bts", (ROWS, COLUMNS, TEMPERATURES), "f")
        bayes = _label(file, path)
        yield from _bands("refs", refs, np.dtype(np.float32), regions, _centred_refs)
        yield from _bands("bts", bts, np.dtype(np.float32), regions, _centred_bts)
        yield from _bands("label", bayes, bayes.dtype, regions, _flagged)


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


def by_group(image: Pixels) -> tuple[Pixels, Pixels]:
    """Views of an image (..., 9): its reflectances (..., 6) and its temperatures (..., 3)."""
    return image[..., :REFLECTANCES], image[..., REFLECTANCES:]


def put_pixels(values: NDArray[Any], out: NDArray[Any]) -> None:
    """Copy pixels (..., n) to where they lie apart: `out` (..., n) of the same type.

    Pixels are copied as opaque wholes: element by element takes three times as long.
    """
    pixel = np.dtype(f"V{values.shape[-1] * values.itemsize}")
    out.view(pixel)[...] = values.view(pixel)


def read_measurements(path: Path) -> NDArray[np.float32]:
    """What the file holds of the whole scene, (1200, 1500, 9): reflectances, then kelvin.

    Missing values are left as they are. The file needs no label.

    Raises:
        SceneError: see `inspect_scene`.
    """
    measurements = np.empty((ROWS, COLUMNS, CHANNELS), np.float32)
    with _opened(path) as file:
        for data, out in zip(
            (
                _reflectances(file, path),
                own_dataset(file, path, "bts", (ROWS, COLUMNS, TEMPERATURES), "f"),
            ),
            by_group(measurements),
            strict=True,
        ):
            values = np.empty(out.shape, np.float32)
            _read_on_1km_grid(data, WHOLE_SCENE, values)
            put_pixels(values, out)
    return measurements


def normalise(measurements: NDArray[np.float32]) -> NDArray[np.float32]:
    """The network's image of reflectances and kelvin (..., 9), in the same memory."""
    refs, bts = by_group(measurements)
    _centred_refs(refs)
    _centred_bts(bts)
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
        with h5py.File(h5py.h5f.open(os.fsencode(path), h5py.h5f.ACC_RDONLY, _access())) as file:
            yield file
    except (OSError, RuntimeError, KeyError) as error:
        raise SceneError(f"{path.name}: {_reason(path, error)}") from error


def _access() -> h5py.h5p.PropFAID:
    access = h5py.h5p.create(h5py.h5p.FILE_ACCESS)
    access.set_fclose_degree(h5py.h5f.CLOSE_STRONG)
    # Locking would fail on read-only and on many parallel file systems, and nobody writes.
    access.set_file_locking(False, True)
    access.set_sieve_buf_size(SIEVE_BYTES)
    access.set_cache(0, CHUNK_CACHE_SLOTS, CHUNK_CACHE_BYTES, CHUNK_CACHE_PREEMPTION)
    return access


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


def _read_on_1km_grid(data: h5py.Dataset, region: Region, out: NDArray[Any]) -> None:
    """The region of a data set; 0.5 km pixels are averaged 2 x 2."""
    if data.shape[0] == ROWS:
        _read_into(out, data, region)
        return
    fine = (slice(2 * part.start, 2 * part.stop) for part in region)
    out[...] = average_2x2(data[tuple(fine)])


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


def _centred_refs(values: NDArray[np.float32]) -> NDArray[np.float32]:
    return _normalised(values, REFLECTANCE_OFFSET, 1.0)


def _centred_bts(values: NDArray[np.float32]) -> NDArray[np.float32]:
    return _normalised(values, TEMPERATURE_OFFSET_KELVIN, TEMPERATURE_SCALE_KELVIN)


def _flagged(values: NDArray[Any]) -> NDArray[np.bool_]:
    return values[..., 0] > 0


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
    with np.errstate(over="ignore"):
        return bool(np.dot(flat, flat) < LARGEST_VALUE**2)
