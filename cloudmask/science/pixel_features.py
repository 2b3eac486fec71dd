"""What cloud screens read of a scene: channels, day, valid pixels, surface, texture."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import uniform_filter

from cloudmask.scenes.hdf5_scene import read_channels, read_classes
from cloudmask.scenes.missing import missing_values
from cloudmask.scenes.readers import read_scene
from cloudmask.scenes.scene import NOT_COMPUTED, Scene
from cloudmask.scenes.sen3_files import is_sen3
from cloudmask.scenes.slstr import REFLECTANCES, TEMPERATURE_OFFSET_KELVIN

Plane = NDArray[np.float32]
Mask = NDArray[np.bool_]

# Brightness temperatures outside are borders or fill values: no scene on Earth is colder or
# warmer at 3.7 to 12 um.
MIN_KELVIN, MAX_KELVIN = 150.0, 350.0

# In sunlight, the atmosphere alone reflects more than this at 0.55 um.
DARK_REFLECTANCE = 0.01

TEXTURE_PIXELS = 3

SURFACE = "surface"
# Of products, by the flags that say so; the first that is set counts.
SURFACES = {"sea": "ocean", "inland_water": "inland_water", "land": "land"}
SEA_ICE, SEA_ICE_FLAG = "sea_ice", "snow"  # where the product's snow flag is set at sea


@dataclass(frozen=True)
class Classification:
    """Classification of the pixels: values (1200, 1500) and their names."""

    values: NDArray[np.uint8]
    names: dict[int, str]

    def select(self, name: str) -> Mask:
        """The pixels of this class (1200, 1500)."""
        return np.isin(self.values, [value for value, other in self.names.items() if other == name])


@dataclass(frozen=True)
class PixelFeatures:
    """Channels (1200, 1500, 9) as measured: S1-S6 reflectances, S7-S9 in kelvin; NaN where missing.

    Attributes:
        surface: `sea` and other surfaces; None if unknown.
        unlabelled: pixels for which the product's Bayesian mask was not computed; None if there are
            none.
    """

    channels: Plane
    surface: Classification | None = None
    unlabelled: Mask | None = None

    def band(self, number: int) -> Plane:
        """One channel (1200, 1500) by its SLSTR number, 1 to 9."""
        plane: Plane = self.channels[..., number - 1]
        return plane

    @cached_property
    def day(self) -> Mask:
        """Pixels in sunlight. By night, reflectances are zero or missing."""
        with np.errstate(invalid="ignore"):
            sunlit: Mask = np.any(self.channels[..., :3] > DARK_REFLECTANCE, axis=-1)
        return sunlit

    @cached_property
    def valid(self) -> Mask:
        """Pixels with all three temperatures and, by day, all six reflectances, and a label."""
        kelvin = self.channels[..., REFLECTANCES:]
        with np.errstate(invalid="ignore"):
            plausible = ((kelvin > MIN_KELVIN) & (kelvin < MAX_KELVIN)).all(axis=-1)
        reflective = np.isfinite(self.channels[..., :REFLECTANCES]).all(axis=-1)
        valid: Mask = plausible & (reflective | ~self.day)
        return valid if self.unlabelled is None else valid & ~self.unlabelled

    @cached_property
    def measured(self) -> Mask:
        """Pixels with a measurement in any channel."""
        measured: Mask = np.any(~np.isnan(self.channels), axis=-1)
        return measured

    @cached_property
    def sea(self) -> Mask | None:
        """Open water; None if the surface is unknown."""
        return None if self.surface is None else self.surface.select("sea")

    @cached_property
    def texture(self) -> Plane:
        """Standard deviation of S8 over the valid pixels of each 3 x 3 neighbourhood, K."""
        # Temperatures are centred because their squares need the digits.
        centred = self.band(8) - np.float32(TEMPERATURE_OFFSET_KELVIN)
        kelvin = np.where(self.valid, centred, 0).astype(float)
        share = np.maximum(uniform_filter(self.valid.astype(float), TEXTURE_PIXELS), 1e-6)
        mean = uniform_filter(kelvin, TEXTURE_PIXELS) / share
        square = uniform_filter(kelvin**2, TEXTURE_PIXELS) / share
        result: Plane = np.sqrt(np.maximum(square - mean**2, 0)).astype(np.float32)
        return result


def read_pixel_features(path: Path) -> PixelFeatures:
    """Read the channels and the surface of a scene; it needs no label.

    Raises:
        SceneError: the scene cannot be read.
    """
    if is_sen3(path):
        return _features_of_product(read_product(path))
    channels = read_channels(path)
    channels[missing_values(channels)] = np.nan
    return PixelFeatures(channels, read_classification(path, SURFACE))


def read_classification(path: Path, name: str) -> Classification | None:
    """A classification of the scene's file; None if the file has none of this name."""
    if is_sen3(path):
        return _surface_of(read_product(path)) if name == SURFACE else None
    found = read_classes(path, name)
    return None if found is None else Classification(*found)


@lru_cache(maxsize=1)
def read_product(path: Path) -> Scene:
    """A product as a scene; the last one is kept, so its arrays are not to be changed.

    Raises:
        SceneError: the product cannot be read.
    """
    return read_scene(path)


def _features_of_product(scene: Scene) -> PixelFeatures:
    channels = scene.channels.copy()
    channels[scene.missing] = np.nan
    unlabelled = None if scene.label is None else scene.label == NOT_COMPUTED
    return PixelFeatures(channels, _surface_of(scene), unlabelled)


def _surface_of(scene: Scene) -> Classification | None:
    """Surfaces by the product's flags; None without them."""
    if not all(flag in scene.flags for flag in SURFACES.values()):
        return None
    values = np.zeros(scene.channels.shape[:2], np.uint8)
    for value, flag in reversed(list(enumerate(SURFACES.values(), 1))):
        values[scene.flags[flag]] = value
    names = {0: "unknown", **dict(enumerate((*SURFACES, SEA_ICE), 1))}
    if SEA_ICE_FLAG in scene.flags:
        values[scene.flags[SURFACES["sea"]] & scene.flags[SEA_ICE_FLAG]] = len(SURFACES) + 1
    return Classification(values, names)
