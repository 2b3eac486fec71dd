"""The arrays of one scene: channels on the 1 km grid, normalised for the network."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cloudmask.scenes.missing import (
    missing_values,
    zero_missing_reflectances,
    zero_missing_temperatures,
)
from cloudmask.scenes.slstr import (
    REFLECTANCE_OFFSET,
    REFLECTANCES,
    TEMPERATURE_OFFSET_KELVIN,
    TEMPERATURE_SCALE_KELVIN,
)

Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class Scene:
    """One scene on its 1 km grid, (rows, columns); `make_scene` makes it from a file's values.

    Attributes:
        channels: (rows, columns, 9) float32: reflectances S1-S6, brightness temperatures S7-S9 in
            kelvin; 0 where missing.
        missing: (rows, columns, 9): the channels that are missing.
        label: (rows, columns) uint8: 1 where the Bayesian mask flags cloud; None without that mask.
        summary: (rows, columns) uint8: 1 where any threshold test flags cloud; None without them.
        geolocation: latitude in degrees north and longitude in degrees east, (rows, columns)
            float32 each; None if the file has none.
    """

    channels: NDArray[np.float32]
    missing: Mask
    label: NDArray[np.uint8] | None = None
    summary: NDArray[np.uint8] | None = None
    geolocation: tuple[NDArray[np.float32], NDArray[np.float32]] | None = None

    @property
    def not_measured(self) -> Mask:
        """Pixels (rows, columns) without a measurement in any channel."""
        nothing: Mask = np.all(self.missing, axis=-1)
        return nothing


def make_scene(
    channels: NDArray[np.float32],
    label: NDArray[np.uint8] | None = None,
    summary: NDArray[np.uint8] | None = None,
    geolocation: tuple[NDArray[np.float32], NDArray[np.float32]] | None = None,
) -> Scene:
    """A scene of reflectances and kelvin (rows, columns, 9) as its file has them.

    Fill values, NaN and whatever else is no measurement become 0 in the same memory.
    """
    missing = missing_values(channels)
    channels[missing] = 0
    return Scene(channels, missing, label, summary, geolocation)


def normalise(channels: NDArray[np.float32]) -> NDArray[np.float32]:
    """The network's image of reflectances and kelvin (..., 9), in the same memory."""
    normalise_reflectances(channels[..., :REFLECTANCES])
    normalise_temperatures(channels[..., REFLECTANCES:])
    return channels


def normalise_reflectances(values: NDArray[np.float32]) -> NDArray[np.float32]:
    """Reflectance - 0.5 in place; reflectance 0 where missing."""
    zero_missing_reflectances(values)
    values -= np.float32(REFLECTANCE_OFFSET)
    return values


def normalise_temperatures(values: NDArray[np.float32]) -> NDArray[np.float32]:
    """(Kelvin - 270) / 22 in place; 0 K where missing."""
    zero_missing_temperatures(values)
    values -= np.float32(TEMPERATURE_OFFSET_KELVIN)
    values *= np.float32(1 / TEMPERATURE_SCALE_KELVIN)
    return values
