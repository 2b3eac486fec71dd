"""SLSTR Level-1 products as ESA ships them: the nadir view as a scene.

A product `S3?_SL_1_RBT____*.SEN3` keeps every variable in a NetCDF-4 file of its own. Suffixes
name grids: `an` 0.5 km nadir, `in` 1 km nadir, `tn` and `tx` tie points 16 km apart. Names,
packing and flags: "Product Data Format Specification - SLSTR Level 1 Products", S3IPF.PDS.005.1.
"""

from __future__ import annotations

from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import distance_transform_edt, map_coordinates

from cloudmask.errors import SceneError
from cloudmask.scenes.hdf5 import CheckedFile, Shape, open_hdf5
from cloudmask.scenes.missing import average_2x2
from cloudmask.scenes.scene import Scene, make_scene
from cloudmask.scenes.sen3_files import ProductFiles, open_product
from cloudmask.scenes.slstr import CHANNEL_NAMES, CHANNELS, GRID_1KM, GRID_500M, REFLECTANCES

TIE_POINTS = (None, None)
HORIZON_DEGREES = 90.0

Plane = NDArray[np.float32]


def read_sen3(path: Path) -> Scene:
    """Read the nadir view of a product, a `.SEN3` folder or a zip archive of one.

    Flags (`bayes_in`, `cloud_in`) and geolocation are optional; S1-S6 are optional at night.

    Raises:
        SceneError: a file or variable that is needed is missing or damaged; the message names
            product, file and variable.
    """
    with open_product(path) as files:
        product = _Product(path.name, files)
        channels = np.empty((*GRID_1KM, CHANNELS), np.float32)
        for index, name in enumerate(CHANNEL_NAMES[REFLECTANCES:], REFLECTANCES):
            channels[..., index] = product.read(f"{name}_BT_in", f"{name}_BT_in", GRID_1KM)
        zenith = _solar_zenith(product)
        for index, name in enumerate(CHANNEL_NAMES[:REFLECTANCES]):
            channels[..., index] = _reflectance(product, name, zenith)
        label = _any_flag(product.read_optional("flags_in", "bayes_in"))
        summary = _any_flag(product.read_optional("flags_in", "cloud_in"))
        latitude = product.read_optional("geodetic_in", "latitude_in")
        longitude = product.read_optional("geodetic_in", "longitude_in")
        geolocation = None if latitude is None or longitude is None else (latitude, longitude)
        return make_scene(channels, label, summary, geolocation)


def _any_flag(flags: Plane | None) -> NDArray[np.uint8] | None:
    return None if flags is None else (flags > 0).astype(np.uint8)


@dataclass(frozen=True)
class _Product:
    """Variables of a product by the name of their file, without suffix, and their own."""

    name: str
    files: ProductFiles

    def has(self, file: str) -> bool:
        return f"{file}.nc" in self.files

    def read(self, file: str, variable: str, shape: Shape) -> Plane:
        """The variable's values, unpacked; NaN where it has its fill value."""
        with self._open(file) as netcdf:
            return _unpacked(netcdf.checked(variable, shape, kinds="fiu"))

    def read_optional(self, file: str, variable: str) -> Plane | None:
        """A variable of the 1 km grid; None if the product has no such file or variable."""
        if not self.has(file):
            return None
        with self._open(file) as netcdf:
            present = variable in netcdf
        return self.read(file, variable, GRID_1KM) if present else None

    def _open(self, file: str) -> AbstractContextManager[CheckedFile]:
        label = f"{self.name}: {file}.nc"
        if not self.has(file):
            raise SceneError(f"{label} is missing; fetch the whole product")
        return open_hdf5(self.files[f"{file}.nc"](), label)


def _unpacked(variable: h5py.Dataset) -> Plane:
    """CF packing: stored * `scale_factor` + `add_offset`, NaN where stored is `_FillValue`."""

    def attribute(name: str, default: float) -> Any:
        return np.ravel(variable.attrs.get(name, default))[0]

    stored = variable[...]
    values: Plane = stored.astype(np.float32)
    values *= np.float32(attribute("scale_factor", 1))
    values += np.float32(attribute("add_offset", 0))
    if "_FillValue" in variable.attrs:
        values[stored == attribute("_FillValue", 0)] = np.nan
    return values


def _reflectance(product: _Product, channel: str, zenith: Plane) -> Plane:
    """Top-of-atmosphere reflectance (1200, 1500) of a solar channel.

    pi L / (E cos(zenith)), and pi L / E where the sun is down: L is the radiance, E the solar
    irradiance that the product gives for its day. Correction factors of product notices are not
    applied. Without a radiance, a dark pixel has reflectance 0, as in the data set's night
    scenes, and a sunlit one has none.
    """
    file = f"{channel}_radiance_an"
    dark = zenith >= HORIZON_DEGREES
    if dark.all() and not product.has(file):
        return np.zeros(GRID_1KM, np.float32)
    fine = product.read(file, file, GRID_500M)
    fine *= np.pi / _solar_irradiance(product, channel)
    # The zenith angle changes by 0.01 degrees a pixel, so one cosine serves the four fine ones.
    reflectance = average_2x2(fine)
    reflectance /= np.where(dark, 1, np.cos(np.radians(zenith)))
    reflectance[dark & np.isnan(reflectance)] = 0
    return reflectance


def _solar_irradiance(product: _Product, channel: str) -> Plane | np.float32:
    """Irradiance for the detector of each 0.5 km pixel, or one value if all detectors agree."""
    name = f"{channel}_solar_irradiance_an"
    irradiances = product.read(f"{channel}_quality_an", name, (None,))
    known = irradiances > 0
    if not known.any():
        raise SceneError(
            f"{product.name}: {channel}_quality_an.nc: '{name}' has no value above 0; "
            "fetch the product again"
        )
    mean: np.float32 = irradiances[known].mean()
    irradiances[~known] = mean
    if np.allclose(irradiances, mean, rtol=1e-6):
        return mean
    detectors = product.read("indices_an", "detector_an", GRID_500M)
    valid = (detectors >= 0) & (detectors < irradiances.size)
    return np.where(valid, irradiances[np.where(valid, detectors, 0).astype(np.intp)], mean)


def _solar_zenith(product: _Product) -> Plane:
    """Solar zenith angle in degrees, (1200, 1500), interpolated between tie points."""
    angles = product.read("geometry_tn", "solar_zenith_tn", TIE_POINTS)
    x = product.read("cartesian_tx", "x_tx", angles.shape)[0]
    y = product.read("cartesian_tx", "y_tx", angles.shape)[:, 0]
    columns, rows = np.argsort(x), np.argsort(y)  # x falls from column to column
    regular = (np.diff(x[columns]) > 0).all() and (np.diff(y[rows]) > 0).all()
    missing = np.isnan(angles)
    if missing.all() or not regular:
        raise SceneError(
            f"{product.name}: geometry_tn.nc and cartesian_tx.nc give no sun angles on a "
            "regular grid; fetch the product again"
        )
    # Tie points outside the swath have no angle: take the nearest that has one.
    nearest = distance_transform_edt(missing, return_distances=False, return_indices=True)
    angles = angles[tuple(nearest)][np.ix_(rows, columns)]
    pixel_x = product.read("cartesian_in", "x_in", GRID_1KM)
    pixel_y = product.read("cartesian_in", "y_in", GRID_1KM)
    coordinates = (
        np.interp(pixel_y, y[rows], np.arange(y.size)),
        np.interp(pixel_x, x[columns], np.arange(x.size)),
    )
    zenith: Plane = map_coordinates(angles, coordinates, order=1, mode="nearest")
    zenith[np.isnan(pixel_x) | np.isnan(pixel_y)] = np.nan
    return zenith
