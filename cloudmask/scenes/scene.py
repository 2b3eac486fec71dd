"""The arrays of one scene: channels on the 1 km grid, normalised for the network."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cloudmask.scenes.slstr import (
    REFLECTANCE_BOUNDS,
    REFLECTANCE_OFFSET,
    REFLECTANCES,
    TEMPERATURE_BOUNDS_KELVIN,
    TEMPERATURE_OFFSET_KELVIN,
    TEMPERATURE_SCALE_KELVIN,
)


@dataclass(frozen=True)
class Scene:
    """One scene on the 1 km grid of 1200 x 1500 pixels, as read from its file.

    Attributes:
        channels: (1200, 1500, 9) float32: reflectances S1-S6, brightness temperatures S7-S9 in
            kelvin; NaN or a fill value where missing.
        label: (1200, 1500) uint8: 1 where the Bayesian mask flags cloud; None without that mask.
        summary: (1200, 1500) uint8: 1 where any threshold test flags cloud; None without them.
        geolocation: latitude in degrees north and longitude in degrees east, (1200, 1500)
            float32 each; None if the file has none.
    """

    channels: NDArray[np.float32]
    label: NDArray[np.uint8] | None
    summary: NDArray[np.uint8] | None
    geolocation: tuple[NDArray[np.float32], NDArray[np.float32]] | None = None


def has_measurement(channels: NDArray[np.float32]) -> NDArray[np.bool_]:
    """Pixels (...) of reflectances and kelvin (..., 9) with a measurement in any channel.

    NaN, fill values and the zeros of image borders are not measurements.
    """
    reflectances, kelvin = channels[..., :REFLECTANCES], channels[..., REFLECTANCES:]
    present: NDArray[np.bool_] = np.any(
        (reflectances > 0) & (reflectances <= REFLECTANCE_BOUNDS[1]), axis=-1
    ) | np.any((kelvin > 0) & (kelvin <= TEMPERATURE_BOUNDS_KELVIN[1]), axis=-1)
    return present


def normalise(channels: NDArray[np.float32]) -> NDArray[np.float32]:
    """The network's image of reflectances and kelvin (..., 9), in the same memory."""
    normalise_reflectances(channels[..., :REFLECTANCES])
    normalise_temperatures(channels[..., REFLECTANCES:])
    return channels


def normalise_reflectances(values: NDArray[np.float32]) -> NDArray[np.float32]:
    """Reflectance - 0.5 in place; 0 where missing."""
    return _normalised(values, REFLECTANCE_BOUNDS, REFLECTANCE_OFFSET, 1.0)


def normalise_temperatures(values: NDArray[np.float32]) -> NDArray[np.float32]:
    """(Kelvin - 270) / 22 in place; 0 where missing."""
    return _normalised(
        values, TEMPERATURE_BOUNDS_KELVIN, TEMPERATURE_OFFSET_KELVIN, TEMPERATURE_SCALE_KELVIN
    )


def average_2x2(fine: NDArray[np.float32]) -> NDArray[np.float32]:
    """Mean reflectances over 2 x 2 pixels: (2 H, 2 W, ...) to (H, W, ...).

    Missing pixels (not finite, or outside physical bounds) are left out; a mean over none is NaN.
    """
    present = _within(fine, REFLECTANCE_BOUNDS)
    total = _sum_2x2(np.where(present, fine, np.float32(0)))
    count = _sum_2x2(present.view(np.uint8))
    average: NDArray[np.float32] = np.full(total.shape, np.nan, np.float32)
    np.divide(total, count, out=average, where=count > 0)
    return average


def _sum_2x2(values: NDArray[Any]) -> NDArray[Any]:
    pairs = values[:, ::2] + values[:, 1::2]
    total: NDArray[Any] = pairs[::2] + pairs[1::2]
    return total


def _normalised(
    values: NDArray[np.float32], bounds: tuple[float, float], offset: float, scale: float
) -> NDArray[np.float32]:
    if not _all_within(values, bounds):
        # Most often only NaN is missing: replacing it alone takes less time.
        np.copyto(values, np.float32(offset), where=np.isnan(values))
        if not _all_within(values, bounds):
            values[~_within(values, bounds)] = offset
    values -= np.float32(offset)
    if scale != 1:
        values *= np.float32(1 / scale)
    return values


def _within(values: NDArray[np.float32], bounds: tuple[float, float]) -> NDArray[np.bool_]:
    """Where the values are within the bounds; False for NaN."""
    inside: NDArray[np.bool_] = (values >= bounds[0]) & (values <= bounds[1])
    return inside


def _all_within(values: NDArray[np.float32], bounds: tuple[float, float]) -> bool:
    """Whether every value is within the bounds; False with any NaN."""
    return values.size == 0 or bool(values.min() >= bounds[0] and values.max() <= bounds[1])
