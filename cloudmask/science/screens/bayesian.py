"""Bayesian cloud screen: probability of cloud from the densities of clear and cloudy pixels.

After Merchant et al. (2005, Q. J. R. Meteorol. Soc. 131, 2735-2755): Bayes' theorem with the
joint density of a pixel's channels (spectral) and of its texture, for clear and for cloudy sky.
There, the clear density comes from a radiative transfer model and a weather forecast. The scenes
contain no forecast, so both densities are histograms of labelled scenes, and the prior is their
share of cloud, by time of day and, if wanted, by surface.

The features and bins are those that agreed best with the truth of synthetic scenes (see
docs/evaluation.md). S4, and the split window by day, added nothing to them.
"""

from __future__ import annotations

import math
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from cloudmask.errors import InputError
from cloudmask.scenes.slstr import REFLECTANCES
from cloudmask.science.pixel_features import Mask, PixelFeatures, Plane

Counts = NDArray[np.float64]

FORMAT = "cloudmask-bayesian-screen-2"

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


KELVIN = HistogramAxis(195, 315, 60)
SPLIT_WINDOW_KELVIN = HistogramAxis(-1, 5, 30)
SHORTWAVE_KELVIN = {"night": HistogramAxis(-8, 8, 40), "day": HistogramAxis(-5, 40, 30)}
# Of the square root: bins are finest where clear sea is, 0.014 wide at a reflectance of 0.02.
ROOT_REFLECTANCE = HistogramAxis(0, 1, 20)
TEXTURE_LOG_KELVIN = HistogramAxis(-1.6, 1.2, 28)

# The factors of a density: each is a joint histogram of some features, and they are multiplied.
Factor = Mapping[str, HistogramAxis]
FACTORS: dict[str, tuple[Factor, ...]] = {
    "night": (
        {
            "S8": KELVIN,
            "S8-S9": SPLIT_WINDOW_KELVIN,
            "S7-S8": SHORTWAVE_KELVIN["night"],
            "texture": HistogramAxis(-1.6, 1.2, 10),
        },
    ),
    "day": (
        {
            "S8": HistogramAxis(195, 315, 40),
            "S7-S8": SHORTWAVE_KELVIN["day"],
            "S3": ROOT_REFLECTANCE,
            "S5": ROOT_REFLECTANCE,
        },
        {"texture": TEXTURE_LOG_KELVIN},
    ),
}


@dataclass(frozen=True)
class Histograms:
    """Training pixels of one time of day and surface, for each factor of the time of day.

    Attributes:
        counts: (2, product of the factor's bins) each; index 0 is clear, 1 is cloudy.
    """

    time: str
    counts: tuple[Counts, ...]

    @property
    def pixels(self) -> float:
        """The number of training pixels."""
        return float(self.counts[0].sum())

    @property
    def log_prior_odds(self) -> float:
        """Log of the odds of cloud before a pixel is seen."""
        clear, cloudy = self.counts[0].sum(axis=1) + PSEUDOCOUNT
        return float(np.log(cloudy / clear))

    @cached_property
    def log_density_ratios(self) -> list[Counts]:
        """For each factor the log of the cloudy over the clear density of each bin."""
        return [
            _log_density_ratio(counts, factor)
            for counts, factor in zip(self.counts, FACTORS[self.time], strict=True)
        ]


@dataclass(frozen=True)
class BayesianScreen:
    """Histograms by (time of day, surface); surface `any` has all pixels of its time of day."""

    histograms: dict[tuple[str, str], Histograms]

    def cloud_probability(self, features: PixelFeatures, by_surface: bool = False) -> Plane:
        """Probability of cloud (1200, 1500).

        NaN at invalid pixels and at times of day without training pixels.

        Args:
            by_surface: use the surface of the pixels, where it is known.
        """
        probability = np.full(features.valid.shape, np.nan, np.float32)
        for time, surface, selected in _groups(features, by_surface):
            found = self.histograms.get((time, surface))
            if found is None or found.pixels < MIN_PIXELS:
                found = self.histograms.get((time, ANY_SURFACE))
            if found is not None:
                log_odds = found.log_prior_odds + sum(
                    ratio[bins]
                    for ratio, bins in zip(
                        found.log_density_ratios, _bins(features, time, selected), strict=True
                    )
                )
                probability[selected] = 1 / (1 + np.exp(-np.clip(log_odds, -50, 50)))
        return probability


class ScreenTraining:
    """Adds labelled scenes to histograms one by one; memory does not grow with the scenes."""

    def __init__(self) -> None:
        self._histograms: dict[tuple[str, str], Histograms] = {}

    def add(self, features: PixelFeatures, cloudy: Mask) -> None:
        """Add the valid pixels of one scene; `cloudy` (1200, 1500) is its label."""
        for time, surface, selected in _groups(features, by_surface=True):
            sky = cloudy[selected].astype(np.int64)
            counts = [
                _counts_by_sky(sky, bins, size)
                for bins, size in zip(_bins(features, time, selected), _sizes(time), strict=True)
            ]
            for key in dict.fromkeys([(time, surface), (time, ANY_SURFACE)]):
                before = self._histograms.get(key)
                added = counts if before is None else map(np.add, before.counts, counts)
                self._histograms[key] = Histograms(time, tuple(added))

    def screen(self) -> BayesianScreen:
        """The screen fitted to the scenes added so far."""
        return BayesianScreen(dict(self._histograms))


def save_screen(path: Path, screen: BayesianScreen) -> None:
    """Write a screen's histograms as a NumPy archive without pickle."""
    arrays: dict[str, Any] = {
        f"{time}/{surface}/{number}": counts
        for (time, surface), histograms in screen.histograms.items()
        for number, counts in enumerate(histograms.counts)
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
    sizes = _sizes(time)
    counts = tuple(archive[f"{time}/{surface}/{number}"] for number in range(len(sizes)))
    for found, size in zip(counts, sizes, strict=True):
        if found.shape != (2, size):
            raise ValueError(f"{time}/{surface} has shape {found.shape}, expected {(2, size)}")
    return Histograms(time, counts)


def _sizes(time: str) -> list[int]:
    """Bins of each factor's histogram (flattened)."""
    return [math.prod(axis.bins for axis in factor.values()) for factor in FACTORS[time]]


def _groups(features: PixelFeatures, by_surface: bool) -> list[tuple[str, str, Mask]]:
    """The valid pixels by time of day and surface."""
    surfaces = {ANY_SURFACE: np.ones_like(features.valid)}
    if by_surface and features.surface is not None:
        surfaces = {name: features.surface.select(name) for name in features.surface.names.values()}
        known = np.logical_or.reduce(list(surfaces.values()))
        surfaces[ANY_SURFACE] = ~known
    groups = [
        (time, name, features.valid & light & selected)
        for time, light in zip(TIMES, (~features.day, features.day), strict=True)
        for name, selected in surfaces.items()
    ]
    return [group for group in groups if group[2].any()]


def _bins(features: PixelFeatures, time: str, selected: Mask) -> list[NDArray[np.int64]]:
    """Bin of each selected pixel in each factor's histogram (flattened)."""
    found = []
    for factor in FACTORS[time]:
        indices = [
            axis.bin_indices(_values(features, name, selected)) for name, axis in factor.items()
        ]
        found.append(np.ravel_multi_index(indices, [axis.bins for axis in factor.values()]))
    return found


def _values(features: PixelFeatures, name: str, selected: Mask) -> Plane:
    """A feature of the selected pixels: a channel, a difference of two, or `texture`.

    Reflectances are the square roots of themselves, texture the decimal logarithm of kelvin.
    """
    if name == "texture":
        texture: Plane = np.log10(np.maximum(features.texture[selected], np.float32(1e-3)))
        return texture
    one, *other = (int(band.removeprefix("S")) for band in name.split("-"))
    values: Plane = features.band(one)[selected]
    if other:
        return values - features.band(other[0])[selected]
    return values if one > REFLECTANCES else np.sqrt(np.maximum(values, 0))


def _counts_by_sky(sky: NDArray[np.int64], bins: NDArray[np.int64], size: int) -> Counts:
    counts = np.bincount(sky * size + bins, minlength=2 * size).reshape(2, size)
    return counts.astype(np.float64)


def _log_density_ratio(counts: Counts, factor: Factor) -> Counts:
    """Log of the cloudy over the clear density of each bin (flattened)."""
    shape = tuple(axis.bins for axis in factor.values())
    densities = []
    for sky in counts:
        smooth = gaussian_filter(sky.reshape(shape), SMOOTHING_BINS, mode="nearest")
        smooth += PSEUDOCOUNT / smooth.size
        densities.append((smooth / smooth.sum()).ravel())
    ratio: Counts = np.log(densities[1]) - np.log(densities[0])
    return ratio
