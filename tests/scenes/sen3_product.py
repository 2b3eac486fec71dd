"""Writes a small Sentinel-3 SLSTR Level-1 product, packed as its format document says.

It shares nothing with the reader: packing, grids and flags are spelled out here once more.
"""

from __future__ import annotations

import zipfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import h5netcdf
import numpy as np

PRODUCT = (
    "S3A_SL_1_RBT____20240501T100000_20240501T100300_20240501T120000_0179_112_065_2160_PS1_O_NR_004"
)
ROWS, COLUMNS = 1200, 1500
TIE_COLUMNS = 130
# Offsets of the 1 km grid and of tie points: column 16 k - 290 has tie point k.
START, TRACK, TIE_TRACK = 4000, 990, 80

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

SINGLE_MODERATE = 0b10  # a bit of bayes_in
OCEAN, SUMMARY_CLOUD = 1 << 1, 1 << 14  # bits of confidence_in
OUTSIDE = 20  # columns at the left that no measurement covers


@dataclass(frozen=True)
class Content:
    """The measurements of one view of a product, as stored.

    Attributes:
        radiances: counts of S1-S6, (2 rows, 2 columns) int16 each, or None to leave them out.
        temperatures: counts of S7-S9, (rows, columns) int16 each.
        irradiance: of every detector, by channel.
        zenith: solar zenith angle in degrees of a row and a column of the 1 km grid.
        bayes: `bayes_in`, (rows, columns) uint8.
        confidence: `confidence_in`, (rows, columns) uint16.
        exceptions: of channels, by name, on the channel's grid.
        fine_start: start offset of the 0.5 km grid.
    """

    radiances: Sequence[np.ndarray | None]
    temperatures: Sequence[np.ndarray]
    irradiance: Mapping[str, Sequence[float]]
    zenith: Callable[[Any, Any], Any]
    bayes: np.ndarray
    confidence: np.ndarray
    exceptions: Mapping[str, np.ndarray] = field(default_factory=dict)
    fine_start: int = 2 * START


def sun_zenith(row: Any, column: Any, night: bool = False) -> Any:
    """Degrees, on the 1 km grid: smooth, and steeper than in the real world."""
    return (120.0 if night else 40.0) + 0.01 * np.asarray(row) + 0.008 * np.asarray(column)


def sloped_content(night: bool = False) -> Content:
    """What `tests/reference/slstr_satpy.json` was read from; by night S1-S6 are fill values.

    Every channel is missing left of column `OUTSIDE` and in one pixel.
    """
    row, column = np.ogrid[: 2 * ROWS, : 2 * COLUMNS]
    radiances = [(500 * n + row + 2 * (column // 3)).astype(np.int16) for n in range(1, 7)]
    for counts in radiances:
        counts[:, : 2 * OUTSIDE] = counts[1000, 2000] = FILL
        if night:
            counts[:] = FILL
    row, column = np.ogrid[:ROWS, :COLUMNS]
    temperatures = [(100 * n - 2 * row + column).astype(np.int16) for n in (7, 8, 9)]
    for counts in temperatures:
        counts[:, :OUTSIDE] = counts[300, 400] = FILL
    bayes = np.zeros((ROWS, COLUMNS), np.uint8)
    bayes[100:400, 200:800] = SINGLE_MODERATE
    confidence = np.full((ROWS, COLUMNS), OCEAN, np.uint16)
    confidence[200:500, 300:900] |= SUMMARY_CLOUD

    def zenith(row: Any, column: Any) -> Any:
        return sun_zenith(row, column, night)

    return Content(radiances, temperatures, SOLAR_IRRADIANCE, zenith, bayes, confidence)


SMALL = (38, 60)


def small_content(
    shape: tuple[int, int] = SMALL, zenith: float = 0.0, fine_rows: int | None = None
) -> Content:
    """A view in which every channel has one value: reflectance 0.4, and 283.73 K."""
    fine = (2 * shape[0] if fine_rows is None else fine_rows, 2 * shape[1])
    return Content(
        radiances=[np.full(fine, 4000, np.int16) for _ in SOLAR_IRRADIANCE],
        temperatures=[np.zeros(shape, np.int16) for _ in range(3)],
        irradiance=dict.fromkeys(SOLAR_IRRADIANCE, [100 * np.pi] * 4),
        zenith=lambda row, column: np.full(np.shape(row), zenith),
        bayes=np.zeros(shape, np.uint8),
        confidence=np.full(shape, OCEAN, np.uint16),
    )


def detectors(shape: tuple[int, int]) -> np.ndarray:
    """detector_an of a 0.5 km grid, uint8: eight detectors in turn, 255 where none looked."""
    index = np.broadcast_to((np.arange(shape[0]) % 8)[:, None], shape).astype(np.uint8)
    index[:, : 2 * OUTSIDE] = 255
    return index


def write_netcdf(
    path: Path,
    variables: dict[str, tuple[np.ndarray, dict[str, Any]]],
    offsets: tuple[int, int] | None = (START, TRACK),
) -> None:
    """One file of a product; `_FillValue` among a variable's attributes is its fill value.

    `offsets` are start and track offset of its grid.
    """
    with h5netcdf.File(path, "w") as file:
        file.attrs["start_time"] = "2024-05-01T10:00:00.000000Z"
        file.attrs["stop_time"] = "2024-05-01T10:03:00.000000Z"
        if offsets is not None:
            file.attrs["start_offset"], file.attrs["track_offset"] = map(np.int32, offsets)
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


def write_product(parent: Path, content: Content | None = None, name: str = PRODUCT) -> Path:
    """A product's `.SEN3` folder, with `sloped_content()` if no other is given: the nadir view."""
    folder = parent / f"{name}.SEN3"
    folder.mkdir(parents=True)
    write_view(folder, content or sloped_content())
    return folder


def write_view(folder: Path, content: Content, view: str = "n") -> None:
    """The files of one view."""
    rows, columns = content.temperatures[0].shape
    on = {
        "a": (content.fine_start, 2 * TRACK),
        "i": (START, TRACK),
        "t": (START, TIE_TRACK),
    }

    def write(file: str, grid: str, **variables: tuple[np.ndarray, dict[str, Any]]) -> None:
        suffix = f"_{grid}{view}"
        named = {name + suffix: variable for name, variable in variables.items()}
        write_netcdf(folder / f"{file}{suffix}.nc", named, on[grid])

    def exceptions(channel: str) -> dict[str, Any]:
        present = channel in content.exceptions
        return {f"{channel}_exception": (content.exceptions[channel], {})} if present else {}

    packed = {"_FillValue": np.int16(FILL), "scale_factor": RADIANCE_SCALE, "add_offset": 0.0}
    packed["units"] = "mW.m-2.sr-1.nm-1"
    for counts, (channel, irradiance) in zip(
        content.radiances, content.irradiance.items(), strict=True
    ):
        if counts is not None:
            file = f"{channel}_radiance"
            write(file, "a", **{file: (counts, packed)}, **exceptions(channel))
        values = np.array(irradiance, np.float32)
        write(f"{channel}_quality", "a", **{f"{channel}_solar_irradiance": (values, {})})
    packed = {"_FillValue": np.int16(FILL), "scale_factor": BT_SCALE, "add_offset": BT_OFFSET}
    packed["units"] = "K"
    for counts, channel in zip(content.temperatures, ("S7", "S8", "S9"), strict=True):
        write(f"{channel}_BT", "i", **{f"{channel}_BT": (counts, packed)}, **exceptions(channel))

    # Tie points reach beyond the swath, where they have no angle.
    row, column = np.mgrid[:rows, :TIE_COLUMNS]
    column = 16.0 * column - 290.0
    angles = content.zenith(row, column)
    angles[(column < -16) | (column > columns + 16)] = np.nan
    write("geometry", "t", solar_zenith=(angles, {"_FillValue": np.nan, "units": "degrees"}))
    row, column = np.mgrid[:rows, :columns].astype(np.float64)
    micro = {"_FillValue": np.int32(-(2**31)), "scale_factor": 1e-6, "add_offset": 0.0}
    latitude, longitude = 50 - 0.009 * row, -10 + 0.014 * column
    write(
        "geodetic",
        "i",
        latitude=(np.rint(latitude * 1e6).astype(np.int32), micro),
        longitude=(np.rint(longitude * 1e6).astype(np.int32), micro),
    )
    meanings = {
        "flag_masks": np.array([1, 2, 4, 8], np.uint8),
        "flag_meanings": "single_low single_moderate dual_low dual_moderate",
    }
    write("flags", "i", bayes=(content.bayes, meanings), confidence=(content.confidence, {}))
    fine = next((counts.shape for counts in content.radiances if counts is not None), (2, 2))
    write("indices", "a", detector=(detectors(fine), {"_FillValue": np.uint8(255)}))


def zip_product(folder: Path, archive: Path) -> Path:
    """The product as a download: its folder in a zip archive."""
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as file:
        for member in sorted(folder.iterdir()):
            file.write(member, f"{folder.name}/{member.name}")
    return archive
