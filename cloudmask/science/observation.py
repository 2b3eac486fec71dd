"""One scene as cloud screens see it: its channels, and which of its pixels can be judged."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import uniform_filter

from cloudmask.scenes.hdf5_scene import read_channels, read_classes
from cloudmask.scenes.slstr import REFLECTANCES

Plane = NDArray[np.float32]
Selection = NDArray[np.bool_]

# No scene on Earth is colder or warmer at 3.7 to 12 um; what is, is a border or a fill value.
COLDEST_KELVIN, WARMEST_KELVIN = 150.0, 350.0

# Sunlight: even the darkest sea reflects more than this at 0.55 um, through the air above it.
DARK_REFLECTANCE = 0.01

# Temperatures are squared for the texture; centred, they keep their digits.
CENTRE_KELVIN = 270.0
TEXTURE_PIXELS = 3


@dataclass(frozen=True)
class Classes:
    """A classification of the pixels: (1200, 1500) values, and the names of those in use."""

    values: NDArray[np.uint8]
    names: dict[int, str]

    def select(self, name: str) -> Selection:
        """The pixels of this class; none if the classification does not have it."""
        return np.isin(self.values, [value for value, other in self.names.items() if other == name])


@dataclass(frozen=True)
class Observation:
    """Channels (1200, 1500, 9) as measured: S1-S6 reflectances, S7-S9 in kelvin."""

    channels: Plane
    surface: Classes | None = None
    """What lies below, if known: `sea` and other names."""

    def band(self, number: int) -> Plane:
        """One channel by its SLSTR number, 1 to 9."""
        plane: Plane = self.channels[..., number - 1]
        return plane

    @cached_property
    def day(self) -> Selection:
        """Pixels that carry sunlight. By night, reflectances are zero or missing."""
        with np.errstate(invalid="ignore"):
            lit = self.channels[..., :3] > DARK_REFLECTANCE
        sunlit: Selection = lit.max(axis=-1)
        return sunlit

    @cached_property
    def valid(self) -> Selection:
        """Pixels with all three temperatures and, by day, all six reflectances."""
        kelvin = self.channels[..., REFLECTANCES:]
        with np.errstate(invalid="ignore"):
            plausible = (kelvin > COLDEST_KELVIN) & (kelvin < WARMEST_KELVIN)
        complete = np.isfinite(self.channels[..., :REFLECTANCES])
        measured: Selection = plausible.min(axis=-1) & (complete.min(axis=-1) | ~self.day)
        return measured

    @cached_property
    def sea(self) -> Selection | None:
        """Open water; None if the surface is not known."""
        return None if self.surface is None else self.surface.select("sea")

    @cached_property
    def texture(self) -> Plane:
        """Standard deviation of S8 over the valid pixels of each 3 x 3 neighbourhood, K."""
        weight = self.valid.astype(np.float64)
        kelvin = np.where(self.valid, self.band(8) - np.float32(CENTRE_KELVIN), 0).astype(float)
        share = np.maximum(uniform_filter(weight, TEXTURE_PIXELS), 1e-6)
        mean = uniform_filter(kelvin, TEXTURE_PIXELS) / share
        square = uniform_filter(kelvin**2, TEXTURE_PIXELS) / share
        result: Plane = np.sqrt(np.maximum(square - mean**2, 0)).astype(np.float32)
        return result


def observe(path: Path) -> Observation:
    """Read what the screens need of a scene; it needs no label.

    Raises:
        SceneError: the scene cannot be read.
    """
    return Observation(read_channels(path), read_classification(path, "surface"))


def read_classification(path: Path, name: str) -> Classes | None:
    """A classification in the scene's file, None if there is none."""
    found = read_classes(path, name)
    return None if found is None else Classes(*found)
