"""What is missing of a scene, by channel: one rule for all readers, and the value 0 in its place.

0 is the data set's own value for missing, of reflectances as of kelvin. So the network is given the
same array for the same pixels, whatever file they come from.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from cloudmask.scenes.slstr import (
    CHANNELS,
    REFLECTANCE_BOUNDS,
    REFLECTANCES,
    TEMPERATURE_BOUNDS_KELVIN,
)


def missing_values(channels: NDArray[np.float32]) -> NDArray[np.bool_]:
    """Which values of reflectances and kelvin (..., 9) are no measurements; (..., 9).

    A value is missing that is not finite, outside physical bounds (fill values), or 0 K. A
    reflectance of exactly 0 is missing where all temperatures of its pixel are: elsewhere it is
    that of a pixel without light.
    """
    reflectances, kelvin = channels[..., :REFLECTANCES], channels[..., REFLECTANCES:]
    missing: NDArray[np.bool_] = np.empty((*channels.shape[:-1], CHANNELS), np.bool_)
    missing[..., REFLECTANCES:] = ~_within(kelvin, TEMPERATURE_BOUNDS_KELVIN) | (kelvin == 0)
    dark = (reflectances == 0) & missing[..., REFLECTANCES:].all(axis=-1, keepdims=True)
    missing[..., :REFLECTANCES] = ~_within(reflectances, REFLECTANCE_BOUNDS) | dark
    return missing


def zero_missing_reflectances(values: NDArray[np.float32]) -> None:
    """Replace reflectances that are missing by 0, in place."""
    _zero_outside(values, REFLECTANCE_BOUNDS)


def zero_missing_temperatures(values: NDArray[np.float32]) -> None:
    """Replace brightness temperatures (kelvin) that are missing by 0, in place."""
    _zero_outside(values, TEMPERATURE_BOUNDS_KELVIN)


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


def any_2x2(fine: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Where any of 2 x 2 pixels is True: (2 H, 2 W) to (H, W)."""
    pairs = fine[:, ::2] | fine[:, 1::2]
    found: NDArray[np.bool_] = pairs[::2] | pairs[1::2]
    return found


def _sum_2x2(values: NDArray[Any]) -> NDArray[Any]:
    pairs = values[:, ::2] + values[:, 1::2]
    total: NDArray[Any] = pairs[::2] + pairs[1::2]
    return total


def _zero_outside(values: NDArray[np.float32], bounds: tuple[float, float]) -> None:
    if not _all_within(values, bounds):
        # Most often only NaN is missing: replacing it alone takes less time.
        np.copyto(values, np.float32(0), where=np.isnan(values))
        if not _all_within(values, bounds):
            values[~_within(values, bounds)] = 0


def _within(values: NDArray[np.float32], bounds: tuple[float, float]) -> NDArray[np.bool_]:
    """Where the values are within the bounds; False for NaN."""
    inside: NDArray[np.bool_] = (values >= bounds[0]) & (values <= bounds[1])
    return inside


def _all_within(values: NDArray[np.float32], bounds: tuple[float, float]) -> bool:
    """Whether every value is within the bounds; False with any NaN."""
    return values.size == 0 or bool(values.min() >= bounds[0] and values.max() <= bounds[1])
