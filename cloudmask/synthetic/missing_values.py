"""What a scene of the twin lacks: borders, holes over hot land, and pixels copied from neighbours.

As in DS1, everything missing is 0, in every channel and in the masks. Figures: published statistics
of the data set and of SLSTR products.
"""

from __future__ import annotations

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from cloudmask.scenes.slstr import COLUMNS, REFLECTANCES, ROWS
from cloudmask.synthetic.physics import Measurement

LEFT_BORDER, RIGHT_BORDER = (26, 28), (14, 17)  # columns; none at the top and bottom
SATURATION_S7_KELVIN = (305.0, 312.0)
COSMETIC_SHARE = (0.23, 0.28)
# By night, S1-S4 are not measured, and S5 and S6 are noise.
VISIBLE_BANDS = 4
NIGHT_NOISE_REFLECTANCE = 0.002


def seen_pixels(rng: Generator) -> NDArray[np.bool_]:
    """The pixels between the borders, (1200, 1500); widths jump with every scan of 4 lines."""
    scans = ROWS // 4
    left = np.repeat(rng.integers(*LEFT_BORDER, scans, endpoint=True), 4)
    right = np.repeat(rng.integers(*RIGHT_BORDER, scans, endpoint=True), 4)
    column = np.arange(COLUMNS)[None, :]
    seen: NDArray[np.bool_] = (column >= left[:, None]) & (column < COLUMNS - right[:, None])
    return seen


def darken_night(rng: Generator, measurement: Measurement, dark: NDArray[np.bool_]) -> None:
    """Leave only noise in S5 and S6 and nothing in S1-S4 of the `dark` pixels, in place."""
    reflectances = measurement.reflectances
    reflectances[dark, :VISIBLE_BANDS] = 0
    count, bands = int(dark.sum()), REFLECTANCES - VISIBLE_BANDS
    noise = rng.standard_normal((count, bands), dtype=np.float32)
    reflectances[dark, VISIBLE_BANDS:] = np.float32(NIGHT_NOISE_REFLECTANCE) * noise


def drop_saturated(rng: Generator, measurement: Measurement) -> None:
    """Set S7 to 0 where it is saturated, in place: over hot land, glint and bright cloud by day."""
    s7 = measurement.temperatures[..., 0]
    s7[s7 > np.float32(rng.uniform(*SATURATION_S7_KELVIN))] = 0


def drop_scan_lines(rng: Generator, measurement: Measurement) -> None:
    """Set a few fragments of scan lines to 0 in all channels, in place."""
    for _ in range(rng.integers(0, 4)):
        row, column = rng.integers(ROWS), rng.integers(COLUMNS)
        fragment = (slice(row, row + 2), slice(column, column + rng.integers(100, 700)))
        measurement.temperatures[fragment] = 0
        measurement.reflectances[fragment] = 0


def cosmetic_pixels(rng: Generator) -> NDArray[np.bool_]:
    """The pixels that no measurement fell into, (1200, 1500): more of them near the edges."""
    share = rng.uniform(*COSMETIC_SHARE)
    profile = 0.7 + 0.9 * np.abs(np.linspace(-1, 1, COLUMNS, dtype=np.float32)) ** 2
    drawn = rng.random((ROWS, COLUMNS), dtype=np.float32)
    chosen: NDArray[np.bool_] = drawn < np.float32(share) * profile
    return chosen


def fill_from_neighbours(values: NDArray[np.float32], cosmetic: NDArray[np.bool_]) -> None:
    """Copy into each cosmetic pixel the nearest measured pixel to its left, in place."""
    source = np.where(cosmetic, 0, np.arange(cosmetic.shape[1]))
    np.maximum.accumulate(source, axis=1, out=source)
    values[...] = np.take_along_axis(values, source[..., None], axis=1)
