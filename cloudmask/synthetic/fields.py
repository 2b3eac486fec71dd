"""Gaussian random fields with power-law spectra on the 1 km grid of a scene."""

from __future__ import annotations

from functools import cache

import numpy as np
import scipy.fft
from numpy.random import Generator
from numpy.typing import NDArray

from cloudmask.scenes.slstr import COLUMNS, ROWS

Plane = NDArray[np.float32]


def random_field(
    rng: Generator,
    slope: float,
    outer_km: float,
    inner_km: float = 0.0,
    elongation: float = 1.0,
    angle: float = 0.0,
) -> Plane:
    """A Gaussian random field (1200, 1500) of mean 0 and standard deviation 1.

    Its spectrum falls as wavenumber to the power -`slope` (5/3 to 3 in geophysical flows)
    between `outer_km` and `inner_km`; `elongation` stretches it along `angle` (radians).
    """
    down, across = _wavenumbers()
    if elongation != 1:
        along = np.cos(angle) * across + np.sin(angle) * down
        aside = np.cos(angle) * down - np.sin(angle) * across
        square = (along * np.float32(elongation)) ** 2 + (aside / np.float32(elongation)) ** 2
    else:
        square = down**2 + across**2
    # A one-dimensional slope p is a density k^-(p+1) in the plane, an amplitude k^-(p+1)/2.
    amplitude = (square + np.float32(outer_km**-2)) ** np.float32(-(slope + 1) / 4)
    if inner_km:
        amplitude *= np.exp(-square * np.float32(inner_km**2))
    return _shaped_noise(rng, amplitude)


def cellular_field(rng: Generator, spacing_km: float, width: float = 0.35) -> Plane:
    """A random field of cells about `spacing_km` apart, as in convection."""
    down, across = _wavenumbers()
    octaves = np.log(np.sqrt(down**2 + across**2) * np.float32(spacing_km) + np.float32(1e-6))
    amplitude = np.exp(-((octaves / np.float32(width)) ** 2))
    return _shaped_noise(rng, amplitude)


def box_mean(plane: Plane, reach: int) -> Plane:
    """Mean over the square of pixels up to `reach` away, periodic at the edges."""
    for axis in (0, 1):
        plane = sum(
            (np.roll(plane, shift, axis) for shift in range(-reach, reach + 1)),
            np.zeros_like(plane),
        ) / np.float32(2 * reach + 1)
    return plane


def smoothed(plane: Plane, radius_km: float) -> Plane:
    """The plane smoothed by a Gaussian of this standard deviation, periodic at the edges."""
    down, across = _wavenumbers()
    factor = np.exp((down**2 + across**2) * np.float32(-2 * (np.pi * radius_km) ** 2))
    result: Plane = scipy.fft.irfft2(scipy.fft.rfft2(plane) * factor, s=(ROWS, COLUMNS))
    return result


def excess_over(field: Plane, share: float) -> Plane:
    """The field minus its quantile at 1 - `share`, at least 0."""
    excess: Plane = np.maximum(field - upper_quantile(field, share), 0)
    return excess


def upper_quantile(field: Plane, share: float) -> np.float32:
    level: np.float32 = np.float32(np.quantile(field[::4, ::4], 1 - share))
    return level


@cache
def _wavenumbers() -> tuple[Plane, Plane]:
    """Cycles per km down (1200, 1) and across (1, 751)."""
    down = scipy.fft.fftfreq(ROWS).astype(np.float32)[:, None]
    across = scipy.fft.rfftfreq(COLUMNS).astype(np.float32)[None, :]
    return down, across


def _shaped_noise(rng: Generator, amplitude: Plane) -> Plane:
    noise = rng.standard_normal((ROWS, COLUMNS), dtype=np.float32)
    spectrum = scipy.fft.rfft2(noise)
    spectrum *= amplitude
    spectrum[0, 0] = 0
    field: Plane = scipy.fft.irfft2(spectrum, s=(ROWS, COLUMNS))
    field /= field.std(dtype=np.float64).astype(np.float32)
    return field
