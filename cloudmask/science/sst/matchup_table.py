"""A table of buoy match-ups: CSV, NetCDF-4 or HDF5, with the columns of the benchmark's authors.

A row is a buoy's measurement and the satellite pixel at its place and time. docs/evaluation.md
lists the columns.
"""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from cloudmask.errors import InputError, SceneError
from cloudmask.scenes.hdf5 import CheckedFile, open_hdf5
from cloudmask.scenes.readers import product_name

Column = NDArray[np.float64]

PRODUCT = "product"
REQUIRED = ("x_cems", "y_cems", "isst", "sat_sst_2", "quality_level", "satzan")
OPTIONAL = ("satzao", "slat", "slon", "latitude_an", "longitude_an", "pcloudn", "pcloudo")

NETCDF3_SIGNATURE = b"CDF"


@dataclass(frozen=True)
class MatchUps:
    """The rows of a table.

    Attributes:
        products: name of the product of each row, without folders and ending.
        columns: numbers (rows,) by name; NaN where empty or fill. Optional columns may be absent.
    """

    path: Path
    products: NDArray[np.str_]
    columns: dict[str, Column]

    def __len__(self) -> int:
        return len(self.products)


def read_match_ups(path: Path) -> MatchUps:
    """Read a table, by its content: HDF5 (so NetCDF-4 too), or CSV with a header line.

    Raises:
        InputError: it cannot be read, or lacks a column or rows; the message names what.
    """
    try:
        with path.open("rb") as file:
            start = file.read(8)
    except OSError as error:
        raise _refused(path, f"cannot be read ({error.strerror})") from error
    if start.startswith(NETCDF3_SIGNATURE):
        raise _refused(path, "is NetCDF-3: convert it with nccopy -k nc4, or give CSV")
    names, columns = _from_hdf5(path) if h5py.is_hdf5(path) else _from_csv(path)
    if not names:
        raise _refused(path, "has no rows: give a table with a row for each match-up")
    products = np.array([product_name(Path(name)) for name in names])
    return MatchUps(path, products, columns)


def _refused(path: Path, reason: str) -> InputError:
    return InputError(f"--matchups {path} {reason}")


def _require_columns(path: Path, present: Any) -> None:
    if absent := [name for name in (PRODUCT, *REQUIRED) if name not in present]:
        raise _refused(path, f"has no column {', '.join(absent)}: docs/evaluation.md lists them")


def _from_csv(path: Path) -> tuple[list[str], dict[str, Column]]:
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file)
            _require_columns(path, reader.fieldnames or ())
            lines = [(reader.line_num, row) for row in reader]
    except (UnicodeDecodeError, csv.Error) as error:
        raise _refused(path, f"is neither CSV, NetCDF-4 nor HDF5 ({error})") from error
    kept = [name for name in (*REQUIRED, *OPTIONAL) if name in (reader.fieldnames or ())]
    columns = {
        name: np.array([_number(path, line, name, row[name]) for line, row in lines])
        for name in kept
    }
    return [row[PRODUCT] or "" for _, row in lines], columns


def _number(path: Path, line: int, name: str, text: str | None) -> float:
    try:
        return float(text) if text else np.nan
    except ValueError:
        raise _refused(path, f"line {line}: {name} is {text!r}: give a number") from None


def _from_hdf5(path: Path) -> tuple[list[str], dict[str, Column]]:
    try:
        with open_hdf5(path, path.name) as file:
            _require_columns(path, file)
            texts = file.checked(PRODUCT, (None,), kinds="OS")[...]
            kept = [name for name in (*REQUIRED, *OPTIONAL) if name in file]
            columns = {name: _decoded(file, name, len(texts)) for name in kept}
    except SceneError as error:
        raise _refused(path, f"cannot be used: {error}") from error
    names = [
        text.decode(errors="replace") if isinstance(text, bytes) else str(text) for text in texts
    ]
    return names, columns


def _decoded(file: CheckedFile, name: str, rows: int) -> Column:
    """The numbers of a NetCDF variable, unpacked by its CF attributes."""
    data = file.checked(name, (rows,), kinds="iuf")
    packed = data[...]
    values: Column = packed.astype(np.float64)
    for attribute in ("_FillValue", "missing_value"):
        if attribute in data.attrs:
            values[np.isin(packed, data.attrs[attribute])] = np.nan
    scale, offset = (
        float(np.ravel(data.attrs.get(attribute, neutral))[0])
        for attribute, neutral in (("scale_factor", 1), ("add_offset", 0))
    )
    return values * scale + offset
