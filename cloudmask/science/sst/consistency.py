"""SST consistency: scores of cloud masks that need no true mask.

Cloud that a mask misses makes the sea look too cold. The pixels that a mask calls clear are
contaminated where their SST is below freezing or far below the background of the scene
(`background`), which is the same for all masks and for every run. A good mask combines a small
contaminated share with a high coverage; either alone is easy.

Only anomalies from the background are used. This cancels the bias of coefficients made for another
radiometer, and of the viewing angle, which the scenes do not contain.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from cloudmask.science.pixel_features import Mask, PixelFeatures, Plane
from cloudmask.science.scores import Scores, Sums, ratio
from cloudmask.science.sst.background import COHERENT_KELVIN, background_sst
from cloudmask.science.sst.retrieval import sea_surface_temperature

MIN_SST_KELVIN = 273.15
COLD_TAIL_KELVIN = -2.0

# Histogram of anomalies; values beyond the ends fall into the outermost bins.
MAX_ANOMALY_KELVIN, BIN_KELVIN = 15.0, 0.05
BINS = round(2 * MAX_ANOMALY_KELVIN / BIN_KELVIN)
BIN_CENTRES = -MAX_ANOMALY_KELVIN + BIN_KELVIN * (np.arange(BINS) + 0.5)

# Standard deviation of a normal distribution over its median absolute deviation.
MAD_TO_STANDARD_DEVIATION = 1.4826


def sst_sums(features: PixelFeatures, masks: Mapping[str, Mask], min_sst: float) -> dict[str, Sums]:
    """Sums (3 + BINS,) of each mask (1200, 1500) for `sst_scores`.

    Numbers of sea pixels (all valid pixels if the surface is unknown), of clear ones, of clear ones
    colder than `min_sst` (K); then the histogram of the anomalies of the other clear pixels that
    have a background.
    """
    sea = features.valid if features.sea is None else features.valid & features.sea
    sst = np.where(sea, sea_surface_temperature(features), np.float32(np.nan))
    with np.errstate(invalid="ignore"):
        water = sea & (sst >= min_sst)
    coherent = water & (features.texture < COHERENT_KELVIN)
    anomaly = sst - background_sst(sst, coherent, features.sea is not None)
    sums = {}
    for name, mask in masks.items():
        clear = sea & ~mask
        found = anomaly[clear & water]
        pixels = [sea.sum(), clear.sum(), (clear & ~water).sum()]
        sums[name] = np.concatenate([pixels, _histogram(found[np.isfinite(found)])])
    return sums


def sst_scores(sums: Sums) -> Scores:
    """Scores of `sst_sums` (..., 3 + BINS) by name, each (...).

    `contaminated`: share of the clear pixels colder than the minimum SST, or with an anomaly below
    -2 K; `not_judged`: share of the clear pixels that are warmer and have no background;
    `coverage`: clear share of all pixels; `below_min_sst`: share of the clear pixels colder than
    the minimum SST; `cold_tail`: share of the clear pixels with a background whose anomaly is below
    -2 K; `robust_deviation_kelvin`: 1.4826 x the median absolute deviation of the anomalies.
    """
    pixels, clear, below, histogram = sums[..., 0], sums[..., 1], sums[..., 2], sums[..., 3:]
    judged = histogram.sum(axis=-1)
    cold = histogram[..., BIN_CENTRES < COLD_TAIL_KELVIN].sum(axis=-1)
    deviation = _robust_deviations(histogram.reshape(-1, BINS))
    return {
        "contaminated": ratio(below + cold, clear),
        "not_judged": ratio(clear - below - judged, clear),
        "coverage": ratio(clear, pixels),
        "below_min_sst": ratio(below, clear),
        "cold_tail": ratio(cold, judged),
        "robust_deviation_kelvin": deviation.reshape(judged.shape),
    }


def _histogram(anomaly: Plane) -> NDArray[np.int64]:
    index = ((anomaly + MAX_ANOMALY_KELVIN) / BIN_KELVIN).astype(np.int64)
    return np.bincount(np.clip(index, 0, BINS - 1), minlength=BINS)


def _robust_deviations(histograms: Sums) -> Sums:
    """1.4826 x the median absolute deviation of each histogram (n, BINS); NaN if it is empty."""
    occupied = histograms.any(axis=0)
    centres, weights = BIN_CENTRES[occupied], histograms[:, occupied]
    if not occupied.any():
        return np.full(len(histograms), np.nan)
    medians = _weighted_medians(np.broadcast_to(centres, weights.shape), weights)
    deviations = np.abs(centres - medians[:, np.newaxis])
    return MAD_TO_STANDARD_DEVIATION * _weighted_medians(deviations, weights)


def _weighted_medians(values: Sums, weights: Sums) -> Sums:
    """Median of each row (n, bins), interpolated between the bins; NaN without weight."""
    order = np.argsort(values, axis=1, kind="stable")
    values, weights = (np.take_along_axis(each, order, axis=1) for each in (values, weights))
    middles = np.cumsum(weights, axis=1) - weights / 2
    half = weights.sum(axis=1, keepdims=True) / 2
    last = weights.shape[1] - 1
    below = last - np.argmax(((weights > 0) & (middles <= half))[:, ::-1], axis=1, keepdims=True)
    above = np.argmax((weights > 0) & (middles >= half), axis=1, keepdims=True)
    (low, high), (start, stop) = (
        [np.take_along_axis(each, index, axis=1) for index in (below, above)]
        for each in (values, middles)
    )
    step = np.where(stop > start, (half - start) / np.maximum(stop - start, 1e-12), 0)
    medians: Sums = np.where(half > 0, low + step * (high - low), np.nan)[:, 0]
    return medians
