"""Masks as files: CF-conformant NetCDF-4, or the reference pipeline's HDF5."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import h5netcdf
import h5py
import numpy as np
from numpy.typing import NDArray

from cloudmask.scenes.hdf5 import replacing_hdf5
from cloudmask.scenes.mask_attributes import Geolocation
from cloudmask.scenes.mask_variables import Variable, packed_probability

# A few chunks a scene: small enough to look at a part, large enough to compress.
CHUNK = (400, 500)
COMPRESSION = {"compression": "gzip", "compression_opts": 4, "shuffle": True}
DIMENSIONS = ("rows", "columns")
POSITIONS = {"latitude": "degrees_north", "longitude": "degrees_east"}


def axes(shape: tuple[int, int]) -> dict[str, tuple[NDArray[np.int32], dict[str, str]]]:
    """Coordinates of the dimensions, with attributes.

    Row 0 has the largest coordinate: GDAL, which takes the first row of NetCDF for the lowest
    unless its coordinate says otherwise, then shows it at the top. With an attribute `units`, it
    would not look at the coordinate (3.10).
    """
    rows, columns = (np.arange(length, dtype=np.int32) for length in shape)
    return {
        "rows": (rows[::-1], {"axis": "Y", "long_name": "rows to the last row"}),
        "columns": (columns, {"axis": "X", "long_name": "column"}),
    }


def positions(geolocation: Geolocation | None) -> dict[str, Variable]:
    """Latitude and longitude of the pixels as variables; none without positions."""
    return {
        name: Variable(values, {"standard_name": name, "units": unit}, np.float32(np.nan))
        for values, (name, unit) in zip(geolocation or (), POSITIONS.items(), strict=False)
    }


def write_netcdf(
    path: Path,
    variables: Mapping[str, Variable],
    geolocation: Geolocation | None,
    attributes: Mapping[str, Any],
) -> None:
    """Write the variables of a mask, the positions of its pixels, and global attributes.

    Raises:
        OSError: the file cannot be written; an earlier one is kept.
    """
    shape = next(iter(variables.values())).values.shape
    places = positions(geolocation)
    located = {"coordinates": " ".join(places)} if places else {}
    with replacing_hdf5(path, h5netcdf.File) as file:
        file.attrs.update(_netcdf_text(attributes))
        file.dimensions = dict(zip(DIMENSIONS, shape, strict=True))
        for name, (values, described) in axes(shape).items():
            axis = file.create_variable(name, (name,), values.dtype, data=values)
            axis.attrs.update(_netcdf_text(described))
        for name, variable in {**variables, **places}.items():
            values = _stored(variable)
            stored = file.create_variable(
                name,
                DIMENSIONS,
                values.dtype,
                data=values,
                fillvalue=variable.fill,
                **_storage(values),
            )
            described = dict(variable.attributes) | (located if name in variables else {})
            if variable.scale is not None:
                described["scale_factor"] = np.float32(variable.scale)
            stored.attrs.update(_netcdf_text(described))


def write_hdf5(path: Path, mask: NDArray[np.int8], attributes: Mapping[str, Any]) -> None:
    """Write the layout of the reference pipeline: `mask` (rows, columns) uint8, 1 where cloud.

    The layout has no value for missing pixels: they are 0. `mask` is that of `cloud_mask`.

    Raises:
        OSError: the file cannot be written; an earlier one is kept.
    """
    with replacing_hdf5(path) as file:
        cloud = (mask == 1).astype(np.uint8)
        file.create_dataset("mask", data=cloud, **_storage(cloud))
        file.attrs.update(_netcdf_text(attributes))


def read_attributes(path: Path) -> dict[str, Any]:
    """Global attributes of a mask; none of a file that is no mask."""
    try:
        with h5py.File(path, "r", locking=False) as file:
            return {name: _text(value) for name, value in file.attrs.items()}
    except OSError:
        return {}


def _text(value: Any) -> Any:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else value


def _stored(variable: Variable) -> NDArray[Any]:
    return variable.values if variable.scale is None else packed_probability(variable.values)


def _storage(values: NDArray[Any]) -> dict[str, Any]:
    """Chunks and compression; HDF5 refuses chunks larger than the data."""
    return {"chunks": tuple(map(min, CHUNK, values.shape)), **COMPRESSION}


def _netcdf_text(attributes: Mapping[str, Any]) -> dict[str, Any]:
    """Text as NetCDF characters in UTF-8 instead of HDF5 strings: every reader knows them."""
    return {
        name: _characters(value) if isinstance(value, str) else value
        for name, value in attributes.items()
    }


def _characters(text: str) -> NDArray[Any]:
    # A file's name may have bytes that are no UTF-8.
    encoded = text.encode("utf-8", "backslashreplace")
    return np.array(encoded, h5py.string_dtype("utf-8", max(len(encoded), 1)))
