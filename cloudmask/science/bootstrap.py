"""Bootstrap confidence intervals of scores, and of paired differences between masks.

Pixels of one scene share their weather, so scenes are resampled, not pixels (Efron and Tibshirani
1993, An Introduction to the Bootstrap). All scores use the same bootstrap samples, which pairs
the differences.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from cloudmask.science.scores import ScoreFunction, Sums

BOOTSTRAP_SAMPLES = 2000
CONFIDENCE = 0.95
SEED = 1
BLOCK = 200  # samples that are multiplied at a time

# With fewer scenes, percentile intervals are far too narrow: five scenes have only 126 different
# bootstrap samples, and none exceeds the extreme scenes.
MIN_SCENES = 10


@dataclass(frozen=True)
class Estimate:
    """A score over all scenes and its 95 % confidence interval; NaN where undefined."""

    value: float
    low: float
    high: float
    scenes: int

    @property
    def differs_from_zero(self) -> bool:
        """Whether the interval excludes zero; False with fewer than `MIN_SCENES` scenes."""
        return self.scenes >= MIN_SCENES and (self.low > 0 or self.high < 0)


@lru_cache(maxsize=8)  # strata have different numbers of scenes
def bootstrap_weights(scenes: int) -> NDArray[np.uint8]:
    """How often each bootstrap sample draws each scene, (BOOTSTRAP_SAMPLES, scenes).

    A byte holds what 1 scene of many is drawn: 56 MB for the 28,000 scenes of DS2.
    """
    rng = np.random.default_rng(SEED)
    drawn = np.empty((BOOTSTRAP_SAMPLES, scenes), np.uint8)
    for sample in drawn:
        sample[:] = rng.multinomial(scenes, np.full(scenes, 1 / scenes))
    return drawn


def resampled(sums: Sums) -> Sums:
    """The sums over the scenes of each bootstrap sample, (BOOTSTRAP_SAMPLES, k)."""
    blocks = np.split(bootstrap_weights(len(sums)), BOOTSTRAP_SAMPLES // BLOCK)
    return np.concatenate([block.astype(np.float64) @ sums for block in blocks])


def estimates(score: ScoreFunction, sums: Sums) -> dict[str, Estimate]:
    """Each score of the sums (scenes, k) over all scenes, with its interval."""
    values, samples = score(sums.sum(axis=0)), score(resampled(sums))
    return {name: _estimate(values[name], samples[name], len(sums)) for name in values}


def paired_differences(score: ScoreFunction, sums: Sums, others: Sums) -> dict[str, Estimate]:
    """Each score of `sums` minus that of `others`, both (scenes, k) of the same scenes."""

    def difference(of_sums: Sums, of_others: Sums) -> dict[str, Sums]:
        scores, other_scores = score(of_sums), score(of_others)
        return {name: scores[name] - other_scores[name] for name in scores}

    values = difference(sums.sum(axis=0), others.sum(axis=0))
    samples = difference(resampled(sums), resampled(others))
    return {name: _estimate(values[name], samples[name], len(sums)) for name in values}


def _estimate(value: Sums, samples: Sums, scenes: int) -> Estimate:
    defined = samples[np.isfinite(samples)]
    # Samples without the score would bias the interval, so only a few are accepted.
    if scenes < 2 or len(defined) < CONFIDENCE * len(samples) or not np.isfinite(value):
        return Estimate(float(value), np.nan, np.nan, scenes)
    tail = (1 - CONFIDENCE) / 2
    low, high = np.quantile(defined, [tail, 1 - tail])
    return Estimate(float(value), float(low), float(high), scenes)
