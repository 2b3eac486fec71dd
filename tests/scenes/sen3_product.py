"""A Sentinel-3 SLSTR Level-1 product in small, packed and named as its format document says.

Written with nothing of the reader's: packing, grids and flags are spelled out here once more.
"""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Any

import h5netcdf
import numpy as np

PRODUCT = (
    "S3A_SL_1_RBT____20240501T100000_20240501T100300_20240501T120000_0179_112_065_2160_PS1_O_NR_004"
)
ROWS, COLUMNS = 1200, 1500
TIE_ROWS, TIE_COLUMNS = 1200, 130

# mW m-2 nm-1, about those of the instrument; S5 differs from detector to detector.
SOLAR_IRRADIANCE = {
    "S1": [1837.39] * 4,
    "S2": [1525.94] * 4,
    "S3": [956.17] * 4,
    "S4": [365.90] * 8,
    "S5": [240.0 + 2 * detector for detector in range(8)],
    "S6": [78.33] * 8,
}
RADIANCE_SCALE = 0.01
BT_SCALE, BT_OFFSET = 0.01, 283.73
FILL = -32768

SINGLE_MODERATE = 0b10  # a bit of bayes_in; cloud_in's bits are those of threshold tests
VISIBLE_TEST, GROSS_CLOUD_TEST = 0b1, 0b1000_0000
OUTSIDE = 20  # columns at the left that no measurement covers


def sun_zenith(row: Any, column: Any, night: bool = False) -> Any:
    """Degrees, on the 1 km grid: smooth, and steeper than in the real world."""
    return (120.0 if night else 40.0) + 0.01 * np.asarray(row) + 0.008 * np.asarray(column)


def radiance_counts(channel: int) -> np.ndarray:
    """Stored S1-S6 (2400, 3000) int16, missing outside of the swath and in one pixel."""
    row, column = np.ogrid[: 2 * ROWS, : 2 * COLUMNS]
    counts = (500 * channel + row + 2 * (column // 3)).astype(np.int16)
    counts[:, : 2 * OUTSIDE] = FILL
    counts[1000, 2000] = FILL
    return counts


def temperature_counts(channel: int) -> np.ndarray:
    """Stored S7-S9 (1200, 1500) int16, missing outside of the swath and in one pixel."""
    row, column = np.ogrid[:ROWS, :COLUMNS]
    counts = (100 * channel - 2 * row + column).astype(np.int16)
    counts[:, :OUTSIDE] = FILL
    counts[300, 400] = FILL
    return counts


def bayes_flags() -> np.ndarray:
    """bayes_in (1200, 1500) uint8: a cloudy block."""
    flags = np.zeros((ROWS, COLUMNS), np.uint8)
    flags[100:400, 200:800] = SINGLE_MODERATE
    return flags


def threshold_flags() -> np.ndarray:
    """cloud_in (1200, 1500) uint16: two tests that find cloud in blocks of their own."""
    flags = np.zeros((ROWS, COLUMNS), np.uint16)
    flags[200:500, 300:900] |= VISIBLE_TEST
    flags[700:800, 300:900] |= GROSS_CLOUD_TEST
    return flags


def detectors() -> np.ndarray:
    """detector_an (2400, 3000) uint8: eight detectors in turn, 255 where none looked."""
    index = np.broadcast_to((np.arange(2 * ROWS) % 8)[:, None], (2 * ROWS, 2 * COLUMNS))
    index = index.astype(np.uint8)
    index[:, : 2 * OUTSIDE] = 255
    return index


def write_netcdf(path: Path, variables: dict[str, tuple[np.ndarray, dict[str, Any]]]) -> None:
    """One file of a product; `_FillValue` among a variable's attributes is its fill value."""
    with h5netcdf.File(path, "w") as file:
        file.attrs["start_time"] = "2024-05-01T10:00:00.000000Z"
        file.attrs["stop_time"] = "2024-05-01T10:03:00.000000Z"
        names = {1: ("detectors",), 2: ("rows", "columns")}
        for name, (data, attributes) in variables.items():
            dimensions = names[data.ndim]
            for dimension, length in zip(dimensions, data.shape, strict=True):
                if dimension not in file.dimensions:
                    file.dimensions[dimension] = length
            attributes = dict(attributes)
            variable = file.create_variable(
                name,
                dimensions,
                data.dtype,
                data=data,
                fillvalue=attributes.pop("_FillValue", None),
                compression="gzip",
                compression_opts=1,
                shuffle=True,
            )
            for attribute, value in attributes.items():
                variable.attrs[attribute] = value


def write_product(parent: Path, name: str = PRODUCT, night: bool = False) -> Path:
    """A product's `.SEN3` folder; by night the files of S1-S6 hold fill values only."""
    folder = parent / f"{name}.SEN3"
    folder.mkdir(parents=True)

    def write(file: str, **variables: Any) -> None:
        write_netcdf(folder / f"{file}.nc", variables)

    packed = {"_FillValue": np.int16(FILL), "scale_factor": RADIANCE_SCALE, "add_offset": 0.0}
    for index, (channel, irradiance) in enumerate(SOLAR_IRRADIANCE.items(), start=1):
        counts = radiance_counts(index)
        if night:
            counts[:] = FILL
        attributes = {**packed, "units": "mW.m-2.sr-1.nm-1"}
        write(f"{channel}_radiance_an", **{f"{channel}_radiance_an": (counts, attributes)})
        values = np.array(irradiance, np.float32)
        write(f"{channel}_quality_an", **{f"{channel}_solar_irradiance_an": (values, {})})
    packed = {"_FillValue": np.int16(FILL), "scale_factor": BT_SCALE, "add_offset": BT_OFFSET}
    for index in (7, 8, 9):
        attributes = {**packed, "units": "K"}
        name = f"S{index}_BT_in"
        write(name, **{name: (temperature_counts(index), attributes)})

    # Across-track distance falls with the column, from tie points that reach beyond the swath.
    row, column = np.mgrid[:TIE_ROWS, :TIE_COLUMNS]
    tie_column = 16.0 * column - 290.0
    angles = sun_zenith(row, tie_column, night)
    angles[(tie_column < -16) | (tie_column > COLUMNS + 16)] = np.nan
    write(
        "geometry_tn",
        solar_zenith_tn=(angles, {"_FillValue": np.nan, "units": "degrees"}),
    )
    metres = {"units": "m"}
    write(
        "cartesian_tx",
        x_tx=(-1000.0 * tie_column, metres),
        y_tx=(1000.0 * row, metres),
    )
    row, column = np.mgrid[:ROWS, :COLUMNS].astype(np.float64)
    write("cartesian_in", x_in=(-1000.0 * column, metres), y_in=(1000.0 * row, metres))
    micro = {"_FillValue": np.int32(-(2**31)), "scale_factor": 1e-6, "add_offset": 0.0}
    latitude, longitude = 50 - 0.009 * row, -10 + 0.014 * column
    write(
        "geodetic_in",
        latitude_in=(np.rint(latitude * 1e6).astype(np.int32), micro),
        longitude_in=(np.rint(longitude * 1e6).astype(np.int32), micro),
    )
    meanings = {
        "flag_masks": np.array([1, 2, 4, 8], np.uint8),
        "flag_meanings": "single_low single_moderate dual_low dual_moderate",
    }
    write("flags_in", bayes_in=(bayes_flags(), meanings), cloud_in=(threshold_flags(), {}))
    write("indices_an", detector_an=(detectors(), {"_FillValue": np.uint8(255)}))
    return folder


def zip_product(folder: Path, archive: Path) -> Path:
    """The product as a download: its folder in a zip archive."""
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as file:
        for member in sorted(folder.iterdir()):
            file.write(member, f"{folder.name}/{member.name}")
    return archive
