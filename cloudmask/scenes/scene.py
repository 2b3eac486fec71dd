"""One SLSTR scene in an HDF5 file: check it, read it as a normalised image and a label.

A scene covers 1200 rows x 1500 columns of 1 km pixels. The image has nine channels: the six
reflectances S1-S6, then the brightness temperatures S7 (3.7 um), S8 (10.85 um) and S9 (12 um).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeVar

import h5py
import numpy as np
from numpy.typing import NDArray

from cloudmask.scenes.hdf5 import opened, own_dataset, read_rectangle

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

WHOLE_SCENE = (slice(0, ROWS), slice(0, COLUMNS))
Region = tuple[slice, slice]
Pixels = TypeVar("Pixels", NDArray[Any], "Tensor")

# What is read and worked on at a time: small enough to stay in a cache, large enough that what a
# call of HDF5 costs by itself does not matter.
BAND_BYTES = 2**20


def inspect_scene(path: Path) -> None:
    """Check a scene's headers (schema, types, where the data sit) without reading its pixels.

    Raises:
        SceneError: not HDF5, truncated, a group missing, a wrong shape or type, or data that
            sit outside the file.
    """
    with opened(path) as file:
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
    with opened(path) as file:
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
    with opened(path) as file:
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
    with opened(path) as file:
        if name not in file:
            return None
        flags = own_dataset(file, path, name, (ROWS, COLUMNS, None), "fiub")
        mask: NDArray[np.uint8] = (flags[...] > 0).any(axis=-1).astype(np.uint8)
        return mask


def is_synthetic(path: Path) -> bool:
    """Whether the scene says of itself that this project's generator made it."""
    with opened(path) as file:
        return "generator" in file.attrs


def read_classes(path: Path, name: str) -> tuple[NDArray[np.uint8], dict[int, str]] | None:
    """A classification of the pixels, (1200, 1500) uint8, and what its values mean.

    The data set `name` tells by the attributes of the CF conventions, `flag_values` and
    `flag_meanings`. None if the file has no such data set or it does not tell.

    Raises:
        SceneError: the file is unusable or the data set is not on the scene's grid.
    """
    with opened(path) as file:
        if name not in file:
            return None
        data = own_dataset(file, path, name, (ROWS, COLUMNS, 1), "fiub")
        values, meanings = data.attrs.get("flag_values"), data.attrs.get("flag_meanings")
        if values is None or not isinstance(meanings, str):
            return None
        names = dict(zip((int(value) for value in values), meanings.split(), strict=False))
        return data[..., 0].astype(np.uint8), names


def _reflectances(file: h5py.File, path: Path) -> h5py.Dataset:
    """`refs`, on the 1 km grid or on the instrument's own 0.5 km grid."""
    coarse = (ROWS, COLUMNS, REFLECTANCES)
    fine = (2 * ROWS, 2 * COLUMNS, REFLECTANCES)
    return own_dataset(file, path, "refs", coarse, "f", also=fine)


def _label(file: h5py.File, path: Path) -> h5py.Dataset:
    return own_dataset(file, path, "bayes", (ROWS, COLUMNS, 1), "fiub")


def _read_on_1km_grid(data: h5py.Dataset, region: Region, out: NDArray[Any]) -> None:
    """The region of a data set; 0.5 km pixels are averaged 2 x 2."""
    if data.shape[0] == ROWS:
        read_rectangle(data, *region, out)
        return
    fine = (slice(2 * part.start, 2 * part.stop) for part in region)
    out[...] = average_2x2(data[tuple(fine)])


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
        # Most often there are only NaNs, which alone take less than half the time.
        np.copyto(values, np.float32(0), where=np.isnan(values))
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
