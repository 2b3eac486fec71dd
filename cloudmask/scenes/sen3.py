"""SLSTR Level-1 products as ESA ships them: one view as a scene on the 1 km grid."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cloudmask.errors import SceneError
from cloudmask.scenes.baseline import View, remove_correction
from cloudmask.scenes.missing import any_2x2, average_2x2
from cloudmask.scenes.scene import Mask, Scene, make_scene
from cloudmask.scenes.sen3_files import open_product
from cloudmask.scenes.sen3_flags import (
    EXCEPTION_UNFILLED,
    SATURATED,
    bayesian_label,
    pixel_flags,
    summary_mask,
)
from cloudmask.scenes.sen3_grids import Plane, interpolate, place, shift_of
from cloudmask.scenes.sen3_product import Product
from cloudmask.scenes.slstr import CHANNEL_NAMES, CHANNELS, REFLECTANCES

HORIZON_DEGREES = 90.0
SOLAR, THERMAL = CHANNEL_NAMES[:REFLECTANCES], CHANNEL_NAMES[REFLECTANCES:]

Bits = NDArray[np.unsignedinteger[Any]]


def read_sen3(path: Path, view: View = "nadir") -> Scene:
    """Read one view of a product, a `.SEN3` folder or a zip archive of one.

    Flags and geolocation are optional. S1-S6 may be left out, all of them: by night their
    reflectance is 0, by day it is missing. Orphan pixels, which have no place on the grid, are
    left out.

    Raises:
        SceneError: a file or variable that is needed is missing or damaged; the message names
            product, file and variable.
    """
    with open_product(path) as files:
        return _View(Product(path.name, files, view)).scene()


class _View:
    """The view's grid is that of its first brightness temperatures."""

    def __init__(self, product: Product) -> None:
        self.product = product
        first = product.read("S7_BT", "S7_BT", "i")
        self.shape: tuple[int, int] = first.shape
        if 0 in first.shape:
            raise SceneError(
                f"{product.label('S7_BT', 'i', 'S7_BT')} has shape {first.shape}: no pixel; "
                "give a whole copy of the product"
            )
        self.channels = np.empty((*self.shape, CHANNELS), np.float32)
        self.saturated: Mask = np.zeros(self.shape, np.bool_)
        self.notes: list[str] = []

    def scene(self) -> Scene:
        """The view as a scene."""
        product, shape = self.product, self.shape
        self._read_temperatures()
        self._read_reflectances()
        confidence = product.read_flags("flags", "confidence", "i", shape)
        bayes = product.read_flags("flags", "bayes", "i", shape)
        flags = {} if confidence is None else pixel_flags(confidence)
        latitude = product.read_optional("geodetic", "latitude", shape)
        longitude = product.read_optional("geodetic", "longitude", shape)
        self._note_orphans()
        return make_scene(
            self.channels,
            label=None if bayes is None else bayesian_label(bayes),
            summary=None if confidence is None else summary_mask(confidence),
            geolocation=None if latitude is None or longitude is None else (latitude, longitude),
            flags=flags | {"saturated": self.saturated},
            baseline=product.baseline,
            view=product.view,
            notes=tuple(self.notes),
        )

    def _read_temperatures(self) -> None:
        for index, channel in enumerate(THERMAL, REFLECTANCES):
            file = f"{channel}_BT"
            kelvin = self.product.read(file, file, "i", self.shape)
            exceptions = self.product.read_flags(file, f"{channel}_exception", "i", self.shape)
            if exceptions is not None:
                kelvin[(exceptions & EXCEPTION_UNFILLED) > 0] = np.nan
                self.saturated |= (exceptions & SATURATED) > 0
            self.channels[..., index] = kelvin

    def _read_reflectances(self) -> None:
        """Top-of-atmosphere reflectances of the solar channels.

        pi L / (E cos(zenith)), and pi L / E where the sun is down: L is the radiance, E the solar
        irradiance that the product gives for its day. Without a radiance, a dark pixel has
        reflectance 0, as in the data set's night scenes, and a sunlit one has none.
        """
        reflectances = self.channels[..., :REFLECTANCES]
        zenith = self._solar_zenith()
        dark = zenith >= HORIZON_DEGREES
        files = [f"{channel}_radiance" for channel in SOLAR]
        absent = [not self.product.has(file, "a") for file in files]
        if all(absent):
            reflectances[...] = np.nan
            seen = ~np.isnan(self.channels[..., REFLECTANCES:]).all(axis=-1)
            if not dark[seen].all():
                self.notes.append("S1-S6 are not in the product: their reflectances are missing")
        else:
            for index, (channel, file) in enumerate(zip(SOLAR, files, strict=True)):
                reflectances[..., index] = self._uncorrected_for_sun(channel, file)
            # The zenith angle changes by 0.01 degrees a pixel: one cosine serves the four fine ones
            reflectances /= np.where(dark, 1, np.cos(np.radians(zenith)))[..., np.newaxis]
            remove_correction(reflectances, self.product.baseline, self.product.view)
        reflectances[dark[..., np.newaxis] & np.isnan(reflectances)] = 0

    def _uncorrected_for_sun(self, channel: str, file: str) -> Plane:
        """pi L / E of a solar channel, averaged over the 0.5 km pixels of each 1 km pixel."""
        fine = self.product.read(file, file, "a")
        fine *= np.pi / self._solar_irradiance(channel, fine.shape)
        exceptions = self.product.read_flags(file, f"{channel}_exception", "a", fine.shape)
        shift = self._shift(file)
        if exceptions is not None:
            fine[(exceptions & EXCEPTION_UNFILLED) > 0] = np.nan
            saturated = (exceptions & SATURATED) > 0
            self.saturated |= any_2x2(place(saturated, shift, self.shape, False))
        return average_2x2(place(fine, shift, self.shape, np.nan))

    def _shift(self, file: str) -> tuple[int, int]:
        try:
            return shift_of(self.product.grid("a", file), self.product.grid("i", "S7_BT"))
        except ValueError as error:
            raise SceneError(
                f"{self.product.label(file, 'a')}: {error}; give the whole product"
            ) from error

    def _solar_irradiance(self, channel: str, shape: tuple[int, ...]) -> Plane | np.float32:
        """Irradiance for the detector of each 0.5 km pixel, or one value if all agree."""
        product, name = self.product, f"{channel}_solar_irradiance"
        irradiances = product.read(f"{channel}_quality", name, "a", (None,))
        known = irradiances > 0
        if not known.any():
            raise SceneError(
                f"{product.label(f'{channel}_quality', 'a', name)} has no value above 0; "
                "give a whole copy of the product"
            )
        mean: np.float32 = irradiances[known].mean()
        irradiances[~known] = mean
        if np.allclose(irradiances, mean, rtol=1e-6):
            return mean
        detectors = product.read("indices", "detector", "a", shape)
        valid = (detectors >= 0) & (detectors < irradiances.size)
        return np.where(valid, irradiances[np.where(valid, detectors, 0).astype(np.intp)], mean)

    def _solar_zenith(self) -> Plane:
        """Solar zenith angle of the pixels in degrees."""
        product = self.product
        angles = product.read("geometry", "solar_zenith", "t")
        tie, grid = product.grid("t", "geometry"), product.grid("i", "S7_BT")
        try:
            return interpolate(angles, tie, grid, self.shape)
        except ValueError as error:
            raise SceneError(
                f"{product.label('geometry', 't', 'solar_zenith')}: {error}; "
                "give a whole copy of the product"
            ) from error

    def _note_orphans(self) -> None:
        orphans = self.product.read_orphans("S8_BT")
        if orphans is not None and (number := int((~np.isnan(orphans)).sum())):
            self.notes.append(f"{number} orphan pixels of S8 left out")
