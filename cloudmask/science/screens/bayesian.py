"""Bayesian cloud screen: probability of cloud from the densities of clear and cloudy pixels.

After Merchant et al. (2005, Q. J. R. Meteorol. Soc. 131, 2735-2755): Bayes' theorem with the
joint density of a pixel's channels (spectral) times the density of its texture, for clear and for
cloudy sky. There, the clear density comes from a radiative transfer model and a weather forecast.
The scenes contain no forecast, so both densities are histograms of labelled scenes, and the prior
is their share of cloud, by surface and time of day.
"""

from __future__ import annotations

import math
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from cloudmask.errors import InputError
from cloudmask.science.pixel_features import Mask, PixelFeatures, Plane

Counts = NDArray[np.float64]

FORMAT = "cloudmask-bayesian-screen-1"

# Smallest probability of clear sky of a pixel called clear: 0.5 makes the fewest errors, 0.9 is the
# threshold for SST retrieval (Merchant et al.).
CLEAR_PROBABILITY = 0.5
STRICT_CLEAR_PROBABILITY = 0.9

# A surface with fewer training pixels than this takes the densities of all surfaces.
MIN_PIXELS = 100_000
ANY_SURFACE = "any"
TIMES = ("night", "day")

# Standard deviation of the Gaussian that smooths the histograms, in bins; and the pixels added to
# each histogram, spread evenly over its bins, so that the prior decides on values never observed.
SMOOTHING_BINS = 1.0
PSEUDOCOUNT = 1.0


class HistogramAxis(NamedTuple):
    """Equal bins of one feature; values beyond the ends fall into the outermost bins."""

    low: float
    high: float
    bins: int

    def bin_indices(self, values: Plane) -> NDArray[np.int64]:
        step = (self.high - self.low) / self.bins
        with np.errstate(invalid="ignore"):
            position = np.nan_to_num(np.floor((values - self.low) / step))
        indices: NDArray[np.int64] = np.clip(position, 0, self.bins - 1).astype(np.int64)
        return indices


KELVIN = HistogramAxis(195, 315, 40)
SPLIT_WINDOW_KELVIN = HistogramAxis(-1, 5, 24)
SHORTWAVE_KELVIN = HistogramAxis(-10, 10, 40)
REFLECTANCE = HistogramAxis(0, 1, 20)
TEXTURE_LOG_KELVIN = HistogramAxis(-1.6, 1.2, 28)

SPECTRAL_AXES = {
    "night": (KELVIN, SPLIT_WINDOW_KELVIN, SHORTWAVE_KELVIN),
    "day": (KELVIN, SPLIT_WINDOW_KELVIN, REFLECTANCE, REFLECTANCE),
}


class Histograms(NamedTuple):
    """Training pixels of one time of day and surface; index 0 is clear, 1 is cloudy."""

    spectral: Counts
    """(2, product of the bins of SPECTRAL_AXES)."""
    textural: Counts
    """(2, bins of TEXTURE_LOG_KELVIN)."""


@dataclass(frozen=True)
class BayesianScreen:
    """Histograms by (time of day, surface); surface `any` has all pixels of its time of day."""

    histograms: dict[tuple[str, str], Histograms]

    def cloud_probability(self, features: PixelFeatures) -> Plane:
        """Probability of cloud (1200, 1500).

        NaN at invalid pixels and at times of day without training pixels.
        """
        probability = np.full(features.valid.shape, np.nan, np.float32)
        for time, surface, selected in _groups(features):
            found = self.histograms.get((time, surface))
            if found is None or found.textural.sum() < MIN_PIXELS:
                found = self.histograms.get((time, ANY_SURFACE))
            if found is not None:
                spectral, textural = _feature_bins(features, time, selected)
                log_odds = (
                    _log_prior_odds(found)
                    + _log_density_ratio(found.spectral, SPECTRAL_AXES[time])[spectral]
                    + _log_density_ratio(found.textural, (TEXTURE_LOG_KELVIN,))[textural]
                )
                probability[selected] = 1 / (1 + np.exp(-np.clip(log_odds, -50, 50)))
        return probability


class ScreenTraining:
    """Adds labelled scenes to histograms one by one; memory does not grow with the scenes."""

    def __init__(self) -> None:
        self._histograms: dict[tuple[str, str], Histograms] = {}

    def add(self, features: PixelFeatures, cloudy: Mask) -> None:
        """Add the valid pixels of one scene; `cloudy` (1200, 1500) is its label."""
        for time, surface, selected in _groups(features):
            sky = cloudy[selected].astype(np.int64)
            bins = zip(_feature_bins(features, time, selected), _sizes(time), strict=True)
            counts = [_counts_by_sky(sky, *found) for found in bins]
            for key in dict.fromkeys([(time, surface), (time, ANY_SURFACE)]):
                empty = Histograms(*(np.zeros((2, size)) for size in _sizes(time)))
                before = self._histograms.get(key, empty)
                self._histograms[key] = Histograms(*map(np.add, before, counts))

    def screen(self) -> BayesianScreen:
        """The screen fitted to the scenes added so far."""
        return BayesianScreen(dict(self._histograms))


def save_screen(path: Path, screen: BayesianScreen) -> None:
    """Write a screen's histograms as a NumPy archive without pickle."""
    arrays = {
        f"{time}/{surface}/{name}": counts
        for (time, surface), histograms in screen.histograms.items()
        for name, counts in histograms._asdict().items()
    }
    np.savez_compressed(path, format=np.array(FORMAT), **arrays)


def load_screen(path: Path) -> BayesianScreen:
    """Read a screen that `save_screen` wrote.

    Raises:
        InputError: the file is missing, damaged, or of another format.
    """
    try:
        with np.load(path, allow_pickle=False) as archive:
            if str(archive["format"]) != FORMAT:
                raise InputError(f"{path} is not a Bayesian screen of this version: fit it again")
            names = sorted({tuple(name.split("/")[:2]) for name in archive.files if "/" in name})
            return BayesianScreen(
                {(time, surface): _read(archive, time, surface) for time, surface in names}
            )
    except (OSError, ValueError, KeyError, EOFError, AttributeError, zipfile.BadZipFile) as error:
        raise InputError(
            f"Bayesian screen {path} cannot be read ({error}): fit it again"
        ) from error


def _read(archive: np.lib.npyio.NpzFile, time: str, surface: str) -> Histograms:
    histograms = Histograms(*(archive[f"{time}/{surface}/{name}"] for name in Histograms._fields))
    for counts, size in zip(histograms, _sizes(time), strict=True):
        if counts.shape != (2, size):
            raise ValueError(f"{time}/{surface} has shape {counts.shape}, expected {(2, size)}")
    return histograms


def _sizes(time: str) -> tuple[int, int]:
    """Bins of the spectral and of the textural histogram."""
    return math.prod(axis.bins for axis in SPECTRAL_AXES[time]), TEXTURE_LOG_KELVIN.bins


def _groups(features: PixelFeatures) -> list[tuple[str, str, Mask]]:
    """The valid pixels by time of day and surface."""
    surfaces = {ANY_SURFACE: np.ones_like(features.valid)}
    if features.surface is not None:
        surfaces = {name: features.surface.select(name) for name in features.surface.names.values()}
        known = np.logical_or.reduce(list(surfaces.values()))
        surfaces[ANY_SURFACE] = ~known
    groups = [
        (time, name, features.valid & light & selected)
        for time, light in zip(TIMES, (~features.day, features.day), strict=True)
        for name, selected in surfaces.items()
    ]
    return [group for group in groups if group[2].any()]


def _feature_bins(
    features: PixelFeatures, time: str, selected: Mask
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Spectral and textural bin of each selected pixel."""
    s8 = features.band(8)[selected]
    values = [s8, s8 - features.band(9)[selected]]
    if time == "day":
        values += [features.band(2)[selected], features.band(5)[selected]]
    else:
        values += [features.band(7)[selected] - s8]
    axes = SPECTRAL_AXES[time]
    indices = [axis.bin_indices(value) for axis, value in zip(axes, values, strict=True)]
    spectral = np.ravel_multi_index(indices, [axis.bins for axis in axes])
    texture = np.log10(np.maximum(features.texture[selected], np.float32(1e-3)))
    return spectral, TEXTURE_LOG_KELVIN.bin_indices(texture)


def _counts_by_sky(sky: NDArray[np.int64], bins: NDArray[np.int64], size: int) -> Counts:
    counts = np.bincount(sky * size + bins, minlength=2 * size).reshape(2, size)
    return counts.astype(np.float64)


def _log_density_ratio(counts: Counts, axes: tuple[HistogramAxis, ...]) -> Counts:
    """Log of the cloudy over the clear density of each bin (flattened)."""
    shape = tuple(axis.bins for axis in axes)
    densities = []
    for sky in counts:
        smooth = gaussian_filter(sky.reshape(shape), SMOOTHING_BINS, mode="nearest")
        smooth += PSEUDOCOUNT / smooth.size
        densities.append((smooth / smooth.sum()).ravel())
    ratio: Counts = np.log(densities[1]) - np.log(densities[0])
    return ratio


def _log_prior_odds(histograms: Histograms) -> float:
    clear, cloudy = histograms.textural.sum(axis=1) + PSEUDOCOUNT
    return float(np.log(cloudy / clear))
