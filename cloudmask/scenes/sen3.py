"""SLSTR Level-1 products as ESA ships them, read as the scenes that the network knows.

A product `S3?_SL_1_RBT____*.SEN3` keeps every variable in a NetCDF-4 file of its own. Suffixes
name grids: `an` 0.5 km nadir, `in` 1 km nadir, `tn` and `tx` tie points 16 km apart. Names,
packing and flags: "Product Data Format Specification - SLSTR Level 1 Products", S3IPF.PDS.005.1.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import distance_transform_edt, map_coordinates

from cloudmask.scenes.hdf5 import SceneError, own_dataset
from cloudmask.scenes.scene import CHANNELS, COLUMNS, REFLECTANCES, ROWS, average_2x2
from cloudmask.scenes.sen3_files import Files, open_package

COARSE, FINE = (ROWS, COLUMNS), (2 * ROWS, 2 * COLUMNS)
TIE_POINTS = (None, None)
HORIZON_DEGREES = 90.0

Grid = NDArray[np.float32]


@dataclass(frozen=True)
class Observation:
    """What was seen of one scene, on its 1 km grid of 1200 x 1500 pixels."""

    measurements: Grid
    """(1200, 1500, 9) reflectances S1-S6, then kelvin S7-S9; NaN or fill where missing."""
    label: NDArray[np.uint8] | None
    """(1200, 1500) 1 where the Bayesian mask flags cloud; None if there is no such mask."""
    position: tuple[Grid, Grid] | None = None
    """Degrees north and degrees east of the pixels, (1200, 1500) each; None if unknown."""
    summary: NDArray[np.uint8] | None = None
    """(1200, 1500) 1 where any of the threshold tests flags cloud; None if they are not there."""


def read_product(path: Path) -> Observation:
    """The nadir view of a product, a `.SEN3` folder or a zip archive of one.

    Flags (`bayes_in`, `cloud_in`) and positions are optional; S1-S6 are so where the sun is down.

    Raises:
        SceneError: a file or variable that is needed is missing or damaged; the message names
            product, file and variable.
    """
    with open_package(path) as files:
        product = _Product(path, files)
        measurements = np.empty((*COARSE, CHANNELS), np.float32)
        for index in range(REFLECTANCES, CHANNELS):
            channel = f"S{index + 1}_BT_in"
            measurements[..., index] = product.read(channel, channel, COARSE)
        zenith = _solar_zenith(product)
        for index in range(REFLECTANCES):
            measurements[..., index] = _reflectance(product, f"S{index + 1}", zenith)
        label = _any_flag(product.read_if_there("flags_in", "bayes_in"))
        summary = _any_flag(product.read_if_there("flags_in", "cloud_in"))
        north = product.read_if_there("geodetic_in", "latitude_in")
        east = product.read_if_there("geodetic_in", "longitude_in")
        position = None if north is None or east is None else (north, east)
        return Observation(measurements, label, position, summary)


def _any_flag(flags: Grid | None) -> NDArray[np.uint8] | None:
    return None if flags is None else (flags > 0).astype(np.uint8)


class _Product:
    """Variables of a product by the names of their file and their own."""

    def __init__(self, path: Path, files: Files) -> None:
        self.path = path
        self.files = files

    def has(self, file: str) -> bool:
        return f"{file}.nc" in self.files

    def read(self, file: str, variable: str, shape: tuple[int | None, ...]) -> Grid:
        """The variable's values, NaN where it has its fill value."""
        with self._opened(file) as netcdf:
            return _decoded(own_dataset(netcdf, Path(f"{file}.nc"), variable, shape, "fiu"))

    def read_if_there(self, file: str, variable: str) -> Grid | None:
        """A variable of the 1 km grid, or None if the product has no such file or variable."""
        if not self.has(file):
            return None
        with self._opened(file) as netcdf:
            if variable not in netcdf:
                return None
        return self.read(file, variable, COARSE)

    @contextmanager
    def _opened(self, file: str) -> Iterator[h5py.File]:
        """The file for reading; every problem with it names the product, too."""
        name = f"{file}.nc"
        if not self.has(file):
            raise SceneError(f"{self.path.name}: {name} is missing; fetch the whole product")
        try:
            with h5py.File(self.files[name](), "r", locking=False) as netcdf:
                yield netcdf
        except SceneError as error:
            raise SceneError(f"{self.path.name}: {error}") from error
        except (OSError, RuntimeError, KeyError, ValueError) as error:
            reason = " ".join(str(error).split())
            raise SceneError(
                f"{self.path.name}: {name}: cannot be read ({reason}); fetch it again"
            ) from error


def _decoded(variable: h5py.Dataset) -> Grid:
    def attribute(name: str, default: float) -> Any:
        return np.ravel(variable.attrs.get(name, default))[0]

    stored = variable[...]
    values: Grid = stored.astype(np.float32)
    values *= np.float32(attribute("scale_factor", 1))
    values += np.float32(attribute("add_offset", 0))
    if "_FillValue" in variable.attrs:
        values[stored == attribute("_FillValue", 0)] = np.nan
    return values


def _reflectance(product: _Product, channel: str, zenith: Grid) -> Grid:
    """Top-of-atmosphere reflectance (1200, 1500) of a solar channel.

    pi L / (E cos(zenith)), and pi L / E where the sun is down: L is the radiance, E the solar
    irradiance that the product gives for its day. Correction factors of product notices are not
    applied. Without a radiance, a dark pixel has reflectance 0, as in the data set's night
    scenes, and a sunlit one has none.
    """
    file = f"{channel}_radiance_an"
    dark = zenith >= HORIZON_DEGREES
    if dark.all() and not product.has(file):
        return np.zeros(COARSE, np.float32)
    reflectance = product.read(file, file, FINE)
    reflectance *= np.pi / _solar_irradiance(product, channel)
    # The zenith angle changes by 0.01 degrees a pixel, so one cosine serves the four fine ones.
    coarse = average_2x2(reflectance)
    coarse /= np.where(dark, 1, np.cos(np.radians(zenith)))
    coarse[dark & np.isnan(coarse)] = 0
    return coarse


def _solar_irradiance(product: _Product, channel: str) -> Grid | np.float32:
    """Irradiance of the detector that saw each 0.5 km pixel, or one for all if they agree."""
    name = f"{channel}_solar_irradiance_an"
    irradiances = product.read(f"{channel}_quality_an", name, (None,))
    known = irradiances > 0
    if not known.any():
        raise SceneError(
            f"{product.path.name}: {channel}_quality_an.nc: '{name}' has no value above 0; "
            "fetch the product again"
        )
    mean: np.float32 = irradiances[known].mean()
    irradiances[~known] = mean
    if np.allclose(irradiances, mean, rtol=1e-6):
        return mean
    detectors = product.read("indices_an", "detector_an", FINE)
    seen = (detectors >= 0) & (detectors < irradiances.size)
    return np.where(seen, irradiances[np.where(seen, detectors, 0).astype(np.intp)], mean)


def _solar_zenith(product: _Product) -> Grid:
    """Degrees from the vertical to the sun, (1200, 1500), interpolated between tie points."""
    angles = product.read("geometry_tn", "solar_zenith_tn", TIE_POINTS)
    x = product.read("cartesian_tx", "x_tx", angles.shape)[0]
    y = product.read("cartesian_tx", "y_tx", angles.shape)[:, 0]
    columns, rows = np.argsort(x), np.argsort(y)  # x falls from column to column
    regular = (np.diff(x[columns]) > 0).all() and (np.diff(y[rows]) > 0).all()
    missing = np.isnan(angles)
    if missing.all() or not regular:
        raise SceneError(
            f"{product.path.name}: geometry_tn.nc and cartesian_tx.nc give no sun angles on a "
            "regular grid; fetch the product again"
        )
    # Tie points beyond the swath have no angle: the nearest that has one stands in.
    nearest = distance_transform_edt(missing, return_distances=False, return_indices=True)
    angles = angles[tuple(nearest)][np.ix_(rows, columns)]
    pixel_x = product.read("cartesian_in", "x_in", COARSE)
    pixel_y = product.read("cartesian_in", "y_in", COARSE)
    place = (
        np.interp(pixel_y, y[rows], np.arange(y.size)),
        np.interp(pixel_x, x[columns], np.arange(x.size)),
    )
    zenith: Grid = map_coordinates(angles, place, order=1, mode="nearest")
    zenith[np.isnan(pixel_x) | np.isnan(pixel_y)] = np.nan
    return zenith
