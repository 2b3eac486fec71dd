"""The background SST of a scene, from temperatures alone: no cloud mask has a part in it.

Cloud makes the sea look colder, never warmer, and rougher (spatial coherence: Coakley and
Bretherton 1982, J. Geophys. Res. 87, 4917-4932). So the background follows the warm end of the
coherent pixels: first a smooth surface over the whole scene, then, near it, a local mean. Sea
under a wide cloud takes the smooth surface, so it is judged too.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from cloudmask.science.pixel_features import Mask, Plane
from cloudmask.science.sst.gaussian import gaussian_of_two
from cloudmask.science.sst.retrieval import CELSIUS_KELVIN

# Standard deviation of 11 um over 3 x 3 pixels below which a pixel is coherent: above the noise,
# below the edges of cloud.
COHERENT_KELVIN = 0.3

# Warm end: this percentile of the coherent pixels of each block that has enough of them.
BLOCK_PIXELS, WARM_PERCENTILE, MIN_COHERENT = 50, 90, 100
# A quadratic surface is fitted to this expectile of the warm ends, so that blocks of cloud hardly
# count (Newey and Powell 1987, Econometrica 55, 819-847).
EXPECTILE, MIN_BLOCKS, FITS = 0.97, 10, 50
# Coherent pixels farther than this from the warm end are not clear sea: uniform cloud.
NEAR_KELVIN = 3.0

# Standard deviation of the Gaussian of the local mean: wide against broken cloud, narrow against
# fronts and eddies. It needs this share of its weight.
LOCAL_KM, MIN_WEIGHT = 20.0, 0.01
# A second pass leaves out pixels this far below the first local mean: cloud that is coherent.
OUTLIER_KELVIN = -1.0


def background_sst(sst: Plane, coherent: Mask, surface_known: bool = True) -> Plane:
    """Background (rows, columns), K, of the SST; NaN where there is none.

    Args:
        sst: NaN at pixels that are no water.
        coherent: pixels of water that may be clear: smooth, and not too cold.
        surface_known: False if `sst` contains land. The smooth surface would then be that of hot
            land, so the warm end of each block takes its place, and pixels far from coherent ones
            have no background. Uniform cloud wider than a block is then its own background.
    """
    warm_end = _warm_ends(sst, coherent)
    if surface_known:
        reference = _surface(warm_end, sst.shape)
    else:
        blocks = warm_end.repeat(BLOCK_PIXELS, axis=0).repeat(BLOCK_PIXELS, axis=1)
        reference = blocks[: sst.shape[0], : sst.shape[1]]
    with np.errstate(invalid="ignore"):
        near = coherent & (np.abs(sst - reference) < NEAR_KELVIN)
        first = _local_mean(sst, near)
        local = _local_mean(sst, near & (sst - first > OUTLIER_KELVIN))
    if not surface_known:
        return local
    known = np.isfinite(local)
    if known.any():  # the warm end is warmer than the mean
        reference = reference - np.float32(np.nanmedian((reference - local)[known]))
    background: Plane = np.where(known, local, reference)
    return background


def _warm_ends(sst: Plane, coherent: Mask) -> Plane:
    """Warm end of each block; NaN for those with too few coherent pixels."""
    rows, columns = (-(-length // BLOCK_PIXELS) for length in sst.shape)
    warm_ends = np.full((rows, columns), np.nan, np.float32)
    for row, column in np.ndindex(rows, columns):
        block = tuple(
            slice(index * BLOCK_PIXELS, (index + 1) * BLOCK_PIXELS) for index in (row, column)
        )
        found = sst[block][coherent[block]]
        if found.size >= MIN_COHERENT:
            warm_ends[row, column] = np.percentile(found, WARM_PERCENTILE)
    return warm_ends


def _surface(warm_ends: Plane, shape: tuple[int, ...]) -> Plane:
    """Quadratic surface (rows, columns) through the warmest of the blocks; NaN with too few."""
    row, column = np.nonzero(np.isfinite(warm_ends))
    if row.size < MIN_BLOCKS:
        return np.full(shape, np.nan, np.float32)
    kelvin = warm_ends[row, column].astype(float)
    centre = [(index + 0.5) * BLOCK_PIXELS for index in (row, column)]
    terms = _quadratic(*(at / length for at, length in zip(centre, shape, strict=True)))
    weight = np.ones(kelvin.size)
    for _ in range(FITS):
        root = np.sqrt(weight)
        fit = np.linalg.lstsq(terms * root[:, np.newaxis], kelvin * root, rcond=None)[0]
        before, weight = weight, np.where(kelvin > terms @ fit, EXPECTILE, 1 - EXPECTILE)
        if np.array_equal(before, weight):
            break
    y, x = ((np.arange(length) + 0.5) / length for length in shape)
    of_rows = fit[0] + fit[1] * y + fit[3] * y * y
    of_columns = fit[2] * x + fit[5] * x * x
    fitted = fit[4] * y[:, np.newaxis] * x + of_rows[:, np.newaxis] + of_columns
    surface: Plane = fitted.astype(np.float32)
    return surface


def _quadratic(y: NDArray[np.float64], x: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.stack([np.ones_like(y), y, x, y * y, x * y, x * x], axis=-1)


def _local_mean(sst: Plane, selected: Mask) -> Plane:
    # Centred, single precision keeps the digits.
    celsius = np.where(selected, sst - np.float32(CELSIUS_KELVIN), np.float32(0))
    weight, total = gaussian_of_two(selected.astype(np.float32), celsius, LOCAL_KM)
    mean: Plane = np.full(sst.shape, np.nan, np.float32)
    np.divide(total, weight, out=mean, where=weight >= MIN_WEIGHT)
    mean += np.float32(CELSIUS_KELVIN)
    return mean
