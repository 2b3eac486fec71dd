"""Bayesian screen: the probability of cloud from what clear and cloudy pixels usually look like.

After Merchant et al. (2005, Q. J. R. Meteorol. Soc. 131, 2735-2755): Bayes' theorem with the
density of a pixel's channels (spectral, a joint one) times that of its neighbourhood (textural),
in clear and in cloudy sky. There, the clear density comes from a radiative transfer model and a
weather forecast. The scenes bring no forecast, so both densities are learned as histograms
from labelled scenes, and the prior is the share of cloud among them, by surface and time of day.
"""

from __future__ import annotations

import zipfile
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from cloudmask.errors import InputError
from cloudmask.science.observation import Observation, Plane, Selection

FORMAT = "cloudmask-bayesian-screen-1"

# A pixel is called clear where the probability of clear sky is at least this: 0.5 makes the
# fewest mistakes; 0.9 is what retrievals of sea surface temperature ask for (Merchant et al.).
CLEAR_PROBABILITY = 0.5
STRICT_CLEAR_PROBABILITY = 0.9

# A surface with fewer training pixels than this is judged by the densities of all surfaces.
FEWEST_PIXELS = 100_000
ANY_SURFACE = "any"
TIMES = ("night", "day")

# Histograms are smoothed by a Gaussian of this many bins, and one pixel's worth is spread evenly,
# so that what was never seen in either sky is decided by the prior.
SMOOTHING_BINS = 1.0
PSEUDO_PIXELS = 1.0


class Axis(NamedTuple):
    """Even bins of one feature; values beyond the ends fall into the outermost ones."""

    low: float
    high: float
    bins: int

    def bins_of(self, values: Plane) -> NDArray[np.int64]:
        step = (self.high - self.low) / self.bins
        with np.errstate(invalid="ignore"):
            position = np.nan_to_num(np.floor((values - self.low) / step))
        inside: NDArray[np.int64] = np.clip(position, 0, self.bins - 1).astype(np.int64)
        return inside


KELVIN = Axis(195, 315, 40)
SPLIT_WINDOW_KELVIN = Axis(-1, 5, 24)
SHORTWAVE_KELVIN = Axis(-10, 10, 40)
REFLECTANCE = Axis(0, 1, 20)
TEXTURE_LOG_KELVIN = Axis(-1.6, 1.2, 28)

SPECTRAL_AXES = {
    "night": (KELVIN, SPLIT_WINDOW_KELVIN, SHORTWAVE_KELVIN),
    "day": (KELVIN, SPLIT_WINDOW_KELVIN, REFLECTANCE, REFLECTANCE),
}


class Case(NamedTuple):
    """Training pixels of one time of day and surface, counted; index 0 is clear, 1 is cloudy."""

    spectral: NDArray[np.float64]
    """(2, *bins of SPECTRAL_AXES, flattened)."""
    textural: NDArray[np.float64]
    """(2, bins of TEXTURE_LOG_KELVIN)."""


@dataclass(frozen=True)
class BayesianScreen:
    """Training counts by (time of day, surface); surface `any` holds all pixels of its time."""

    cases: dict[tuple[str, str], Case]

    def cloud_probability(self, seen: Observation) -> Plane:
        """Probability of cloud (1200, 1500); NaN where invalid or of a time never trained on."""
        probability = np.full(seen.valid.shape, np.nan, np.float32)
        for time, surface, selected in _groups(seen):
            case = self.cases.get((time, surface))
            if case is None or case.textural.sum() < FEWEST_PIXELS:
                case = self.cases.get((time, ANY_SURFACE))
            if case is not None:
                spectral, textural = _features(seen, time, selected)
                axes = SPECTRAL_AXES[time]
                odds = _prior_odds(case) + _log_ratio(case.spectral, axes)[spectral]
                odds += _log_ratio(case.textural, (TEXTURE_LOG_KELVIN,))[textural]
                probability[selected] = 1 / (1 + np.exp(-np.clip(odds, -50, 50)))
        return probability


class Training:
    """Counts labelled pixels scene by scene; memory does not grow with the scenes."""

    def __init__(self) -> None:
        self._spectral: dict[tuple[str, str], NDArray[np.float64]] = defaultdict(lambda: _ZERO)
        self._textural: dict[tuple[str, str], NDArray[np.float64]] = defaultdict(lambda: _ZERO)

    def add(self, seen: Observation, cloudy: Selection) -> None:
        """Count one scene's valid pixels; `cloudy` (1200, 1500) is its label."""
        for time, surface, selected in _groups(seen):
            spectral, textural = _features(seen, time, selected)
            sizes = [int(np.prod([axis.bins for axis in SPECTRAL_AXES[time]]))]
            sizes += [TEXTURE_LOG_KELVIN.bins]
            sky = cloudy[selected].astype(np.int64)
            for known in {surface, ANY_SURFACE}:
                case = (time, known)
                self._spectral[case] = self._spectral[case] + _count(sky, spectral, sizes[0])
                self._textural[case] = self._textural[case] + _count(sky, textural, sizes[1])

    def screen(self) -> BayesianScreen:
        """The screen learned so far."""
        return BayesianScreen(
            {case: Case(self._spectral[case], self._textural[case]) for case in self._spectral}
        )


def save_screen(path: Path, screen: BayesianScreen) -> None:
    """Write a screen's counts as plain arrays (NumPy archive, no pickle)."""
    arrays = {
        f"{time}/{surface}/{name}": counts
        for (time, surface), case in screen.cases.items()
        for name, counts in case._asdict().items()
    }
    np.savez_compressed(path, format=np.array(FORMAT), **arrays)


def load_screen(path: Path) -> BayesianScreen:
    """The screen that `save_screen` wrote.

    Raises:
        InputError: the file is missing, damaged, or not one of these.
    """
    try:
        with np.load(path, allow_pickle=False) as archive:
            if str(archive["format"]) != FORMAT:
                raise InputError(f"{path} is not a Bayesian screen of this version: fit it anew")
            names = {tuple(name.split("/")[:2]) for name in archive.files if "/" in name}
            cases = {
                (time, surface): Case(
                    *(_checked(archive, time, surface, field) for field in Case._fields)
                )
                for time, surface in sorted(names)
            }
    except (OSError, ValueError, KeyError, EOFError, AttributeError, zipfile.BadZipFile) as error:
        raise InputError(f"Bayesian screen {path} cannot be read ({error}): fit it anew") from error
    return BayesianScreen(cases)


def _checked(
    archive: np.lib.npyio.NpzFile, time: str, surface: str, field: str
) -> NDArray[np.float64]:
    axes = SPECTRAL_AXES[time] if field == "spectral" else (TEXTURE_LOG_KELVIN,)
    counts: NDArray[np.float64] = archive[f"{time}/{surface}/{field}"]
    expected = (2, int(np.prod([axis.bins for axis in axes])))
    if counts.shape != expected:
        raise ValueError(f"{time}/{surface}/{field} has shape {counts.shape}, expected {expected}")
    return counts


_ZERO = np.zeros(1)


def _groups(seen: Observation) -> list[tuple[str, str, Selection]]:
    """The valid pixels by time of day and surface."""
    surfaces = {ANY_SURFACE: np.ones_like(seen.valid)}
    if seen.surface is not None:
        surfaces = {name: seen.surface.select(name) for name in seen.surface.names.values()}
        known = np.logical_or.reduce(list(surfaces.values()))
        surfaces[ANY_SURFACE] = ~known
    groups = [
        (time, name, seen.valid & light & selected)
        for time, light in zip(TIMES, (~seen.day, seen.day), strict=True)
        for name, selected in surfaces.items()
    ]
    return [group for group in groups if group[2].any()]


def _features(
    seen: Observation, time: str, selected: Selection
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Which spectral and which textural bin each selected pixel falls into."""
    s8 = seen.band(8)[selected]
    values = [s8, s8 - seen.band(9)[selected]]
    if time == "day":
        values += [seen.band(2)[selected], seen.band(5)[selected]]
    else:
        values += [seen.band(7)[selected] - s8]
    axes = SPECTRAL_AXES[time]
    indices = [axis.bins_of(value) for axis, value in zip(axes, values, strict=True)]
    spectral = np.ravel_multi_index(indices, [axis.bins for axis in axes])
    texture = np.log10(np.maximum(seen.texture[selected], np.float32(1e-3)))
    return spectral, TEXTURE_LOG_KELVIN.bins_of(texture)


def _count(sky: NDArray[np.int64], bins: NDArray[np.int64], size: int) -> NDArray[np.float64]:
    counts = np.bincount(sky * size + bins, minlength=2 * size).reshape(2, size)
    return counts.astype(np.float64)


def _log_ratio(counts: NDArray[np.float64], axes: tuple[Axis, ...]) -> NDArray[np.float64]:
    """Log of the cloudy density over the clear one, bin by bin (flattened)."""
    shape = tuple(axis.bins for axis in axes)
    densities = []
    for sky in counts:
        smooth = gaussian_filter(sky.reshape(shape), SMOOTHING_BINS, mode="nearest")
        smooth += PSEUDO_PIXELS / smooth.size
        densities.append((smooth / smooth.sum()).ravel())
    ratio: NDArray[np.float64] = np.log(densities[1]) - np.log(densities[0])
    return ratio


def _prior_odds(case: Case) -> float:
    clear, cloudy = case.textural.sum(axis=1) + PSEUDO_PIXELS
    return float(np.log(cloudy / clear))
