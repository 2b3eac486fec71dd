"""Consistency of sea surface temperature (SST), which needs no truth.

Cloud that a mask lets through makes the sea look too cold: among the pixels that it calls clear, a
tail of SSTs lies far below their surroundings. A mask is good if this tail is thin and yet
many pixels are called clear; either alone is easy.

The surroundings are the same for all masks: SST of the pixels that every mask calls clear, smoothed
by a Gaussian. Only departures from them are used, so the bias of coefficients made for another
radiometer, and of the viewing angle that the scenes do not hold, cancels.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from cloudmask.science.observation import Observation, Plane, Selection
from cloudmask.science.pixel_counts import Mask, Scores, Sums

# Multichannel SST of NOAA-12 AVHRR at nadir, from kelvin to degrees Celsius: split window by day,
# triple window by night (NOAA/NESDIS, NOAA-12 AVHRR SST equations of 8 March 1994; the former
# also in the NOAA Polar Orbiter Data User's Guide, appendix E). Its channels 3, 4 and 5 are S7, S8
# and S9.
SPLIT_WINDOW = {"constant": -263.006, "t11": 0.963563, "t11-t12": 2.579211}
TRIPLE_WINDOW = {"constant": -271.971, "t11": 1.000281, "t37-t12": 0.911173}
CELSIUS_KELVIN = 273.15

MIN_SST_KELVIN = 273.15
COLD_TAIL_KELVIN = -2.0

# The Gaussian is wide against the pixels of broken cloud, narrow against fronts and eddies. Where
# agreed pixels make up less than this share of its weight there is no background.
BACKGROUND_KM = 20.0
LEAST_WEIGHT = 0.05
# Cloud that all masks miss would cool the background; agreed pixels this far below a first one
# have no part in the second.
OUTLIER_KELVIN = -1.0

# Departures are kept as a histogram, clipped to these ends.
LARGEST_DEPARTURE_KELVIN, BIN_KELVIN = 15.0, 0.05
BINS = round(2 * LARGEST_DEPARTURE_KELVIN / BIN_KELVIN)
CENTRES = -LARGEST_DEPARTURE_KELVIN + BIN_KELVIN * (np.arange(BINS) + 0.5)

# Normal consistency of the median absolute deviation.
MAD_TO_DEVIATION = 1.4826


def sea_surface_temperature(seen: Observation) -> Plane:
    """SST (1200, 1500), K: split window where there is sunlight, else triple window."""
    s7, s8, s9 = (seen.band(number) for number in (7, 8, 9))
    split = SPLIT_WINDOW["constant"] + SPLIT_WINDOW["t11"] * s8
    split = split + SPLIT_WINDOW["t11-t12"] * (s8 - s9)
    triple = TRIPLE_WINDOW["constant"] + TRIPLE_WINDOW["t11"] * s8
    triple = triple + TRIPLE_WINDOW["t37-t12"] * (s7 - s9)
    kelvin: Plane = (np.where(seen.day, split, triple) + CELSIUS_KELVIN).astype(np.float32)
    return kelvin


def smooth_background(sst: Plane, agreed: Selection) -> Plane:
    """Gaussian mean (1200, 1500) of the agreed pixels' SST around each pixel; NaN without any."""
    first = _gaussian_mean(sst, agreed)
    with np.errstate(invalid="ignore"):
        return _gaussian_mean(sst, agreed & (sst - first > OUTLIER_KELVIN))


def count_sst(
    seen: Observation, masks: dict[str, Mask], judges: list[str], min_sst: float
) -> dict[str, Sums]:
    """Sums (3 + BINS,) of each mask (1200, 1500): for `sst_scores`.

    Pixels of sea (all pixels if the surface is not known), those called clear, those of them that
    are colder than `min_sst`, and the histogram of the others' departures from the background,
    which is made of the pixels that all `judges` call clear.
    """
    sea = seen.valid if seen.sea is None else seen.valid & seen.sea
    sst = np.where(sea, sea_surface_temperature(seen), np.float32(np.nan))
    with np.errstate(invalid="ignore"):
        water = sea & (sst >= min_sst)
    agreed = water & ~np.logical_or.reduce([masks[name] for name in judges])
    departure = sst - smooth_background(sst, agreed)
    sums = {}
    for name, mask in masks.items():
        clear = sea & ~mask
        judged = departure[clear & water]
        heads = [sea.sum(), clear.sum(), (clear & ~water).sum()]
        sums[name] = np.concatenate([heads, _histogram(judged[np.isfinite(judged)])])
    return sums


def sst_scores(sums: Sums) -> Scores:
    """Scores of `count_sst`'s sums (..., 3 + BINS) by name, each (...).

    `coverage`: share of the pixels called clear; `below_min_sst`: share of these that are too cold
    to be water; `judged`: share of these that have a background; `cold_tail`: share of the judged
    whose departure is below -2 K; `robust_deviation_kelvin`: 1.4826 x their median absolute
    deviation.
    """
    pixels, clear, below, histogram = sums[..., 0], sums[..., 1], sums[..., 2], sums[..., 3:]
    judged = histogram.sum(axis=-1)
    cold = histogram[..., COLD_TAIL_KELVIN > CENTRES].sum(axis=-1)
    with np.errstate(invalid="ignore", divide="ignore"):
        scores = {
            "coverage": clear / pixels,
            "below_min_sst": below / clear,
            "judged": judged / clear,
            "cold_tail": cold / judged,
        }
    deviation = np.array([_robust_deviation(row) for row in histogram.reshape(-1, BINS)])
    return {**scores, "robust_deviation_kelvin": deviation.reshape(judged.shape)}


def _gaussian_mean(sst: Plane, selected: Selection) -> Plane:
    weight = gaussian_filter(selected.astype(np.float32), BACKGROUND_KM, mode="constant")
    centred = np.where(selected, sst - np.float32(CELSIUS_KELVIN), np.float32(0))
    total = gaussian_filter(centred, BACKGROUND_KM, mode="constant")
    enough = weight >= LEAST_WEIGHT
    mean: Plane = np.full(sst.shape, np.nan, np.float32)
    np.divide(total, weight, out=mean, where=enough)
    mean += np.float32(CELSIUS_KELVIN)
    return mean


def _histogram(departure: Plane) -> NDArray[np.int64]:
    limit = LARGEST_DEPARTURE_KELVIN
    index = ((departure + limit) / BIN_KELVIN).astype(np.int64)
    return np.bincount(np.clip(index, 0, BINS - 1), minlength=BINS)


def _robust_deviation(histogram: Sums) -> float:
    if not histogram.any():
        return np.nan
    middle = _median(CENTRES, histogram)
    return MAD_TO_DEVIATION * _median(np.abs(CENTRES - middle), histogram)


def _median(values: NDArray[np.floating[Any]], weights: Sums) -> float:
    """Weighted median of bin centres, by interpolation between them."""
    order = np.argsort(values)
    weight = weights[order]
    middles = np.cumsum(weight) - weight / 2
    occupied = weight > 0
    return float(np.interp(weight.sum() / 2, middles[occupied], values[order][occupied]))
