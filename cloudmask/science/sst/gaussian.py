"""Wide Gaussian filter of two planes at once, by one Fourier transform.

The result is that of `scipy.ndimage.gaussian_filter(plane, sigma, mode="constant")`, which takes
161 taps a pixel and direction for 20 pixels. Two planes are the real and the imaginary part of one
complex plane: the filter is real, so that it keeps them apart.
"""

from __future__ import annotations

from functools import cache

import numpy as np
from numpy.typing import NDArray
from scipy import fft

Plane = NDArray[np.float32]

TRUNCATE = 4.0  # standard deviations, as in SciPy


def gaussian_of_two(first: Plane, second: Plane, sigma: float) -> tuple[Plane, Plane]:
    """Gaussian means of two planes (rows, columns), 0 beyond the edges; `sigma` in pixels."""
    rows, columns = first.shape
    radius = _radius(sigma)
    shape = tuple(fft.next_fast_len(length + radius) for length in first.shape)
    planes = np.zeros(shape, np.complex64)
    planes.real[:rows, :columns], planes.imag[:rows, :columns] = first, second
    spectrum = fft.fft2(planes, overwrite_x=True)
    spectrum *= _response(shape[0], sigma)[:, np.newaxis]
    spectrum *= _response(shape[1], sigma)
    filtered = fft.ifft2(spectrum, overwrite_x=True)[:rows, :columns]
    return np.ascontiguousarray(filtered.real), np.ascontiguousarray(filtered.imag)


def _radius(sigma: float) -> int:
    return int(TRUNCATE * sigma + 0.5)


@cache
def _response(length: int, sigma: float) -> Plane:
    """Frequency response, real because the weights are symmetric about 0."""
    offsets = np.arange(-_radius(sigma), _radius(sigma) + 1)
    taps = np.exp(-0.5 * (offsets / sigma) ** 2)
    circular = np.zeros(length)
    np.add.at(circular, offsets % length, taps / taps.sum())  # a small plane may wrap the tails
    response: Plane = fft.fft(circular).real.astype(np.float32)
    return response
