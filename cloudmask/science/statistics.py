"""How sure a score is: bootstrap intervals over scenes, and paired differences between masks.

Pixels of one scene share their weather, so scenes are resampled, not pixels (Efron and Tibshirani
1993, An Introduction to the Bootstrap). All scores use the same resamplings, which pairs them.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray

from cloudmask.science.pixel_counts import Scoring, Sums

RESAMPLINGS = 2000
CONFIDENCE = 0.95
SEED = 1

# With fewer scenes, percentiles of the bootstrap are far too narrow: five scenes have but 126
# different resamplings, and none reaches beyond the extreme scenes.
FEWEST_SCENES = 10


@dataclass(frozen=True)
class Estimate:
    """A score over all scenes and its 95 % interval; NaN where it is not defined."""

    value: float
    low: float
    high: float
    scenes: int

    @property
    def informative(self) -> bool:
        """Whether there are scenes enough for the interval to mean something."""
        return self.scenes >= FEWEST_SCENES

    @property
    def differs_from_zero(self) -> bool:
        """Whether an informative interval leaves zero out; never if it is not defined."""
        return self.informative and (self.low > 0 or self.high < 0)


@cache
def resamplings(scenes: int) -> NDArray[np.float64]:
    """How often each scene is drawn: (RESAMPLINGS, scenes), every row adding up to `scenes`."""
    rng = np.random.default_rng(SEED)
    drawn = rng.multinomial(scenes, np.full(scenes, 1 / scenes), RESAMPLINGS)
    return drawn.astype(np.float64)


def estimates(scoring: Scoring, sums: Sums) -> dict[str, Estimate]:
    """Each score of sums (scenes, k) added up over the scenes, with its interval."""
    totals, redrawn = scoring(sums.sum(axis=0)), scoring(resamplings(len(sums)) @ sums)
    return {name: _estimate(totals[name], redrawn[name], len(sums)) for name in totals}


def differences(scoring: Scoring, sums: Sums, others: Sums) -> dict[str, Estimate]:
    """Each score of `sums` less that of `others`, over the same scenes (scenes, k)."""
    totals = [scoring(each.sum(axis=0)) for each in (sums, others)]
    redrawn = [scoring(resamplings(len(sums)) @ each) for each in (sums, others)]
    return {
        name: _estimate(
            totals[0][name] - totals[1][name], redrawn[0][name] - redrawn[1][name], len(sums)
        )
        for name in totals[0]
    }


def _estimate(value: Sums, redrawn: Sums, scenes: int) -> Estimate:
    defined = redrawn[np.isfinite(redrawn)]
    # Resamplings without the score would shift the interval unseen, so few must be so.
    if scenes < 2 or len(defined) < CONFIDENCE * len(redrawn) or not np.isfinite(value):
        return Estimate(float(value), np.nan, np.nan, scenes)
    tail = (1 - CONFIDENCE) / 2
    low, high = np.quantile(defined, [tail, 1 - tail])
    return Estimate(float(value), float(low), float(high), scenes)
