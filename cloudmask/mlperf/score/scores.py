"""Runs of one system become a score, with its spread and its interval.

The score is MLPerf's: the mean time to solution without the fastest and the slowest of at least
five runs. One of them may have missed the target: it is the slowest. Where there are fewer runs, or
more missed it, all that can be given is the plain mean of the others, which is marked as no score.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean, stdev

from scipy import stats

from cloudmask.mlperf.log.run_summary import RunSummary
from cloudmask.mlperf.score.runs import Run
from cloudmask.mlperf.score.setting import Setting

FEWEST_RUNS = 5
MOST_MISSED = 1
CONFIDENCE = 0.95
FEWEST_FREEDOM = 2


@dataclass(frozen=True)
class Estimate:
    """A mean time with its standard error and degrees of freedom; both NaN from a single run."""

    mean: float
    error: float
    freedom: float

    @property
    def interval(self) -> tuple[float, float]:
        """The 95 % interval by Student's t, of the logarithm, as times are positive.

        NaN from fewer than three runs: two say nothing of how runs differ.
        """
        factor = _factor((self.error / self.mean) ** 2, self.freedom)
        return self.mean / factor, self.mean * factor


@dataclass(frozen=True)
class Score:
    """The runs of one setting and what they come to.

    Attributes:
        runs: every run, whether it counts or not.
        seconds: the score, or the mean of those that count; None if none does.
        spread: standard deviation of their times, in seconds; NaN from a single run.
        epochs, samples: means until the target.
        throughput: mean training patches per second.
        accuracy: mean accuracy at the end.
    """

    setting: Setting
    runs: Sequence[Run]
    seconds: Estimate | None
    spread: float
    epochs: float
    samples: float
    throughput: float
    accuracy: float

    @property
    def counted(self) -> list[RunSummary]:
        """The runs that count."""
        return [run.summary for run in self.runs if run.counts and run.summary is not None]

    @property
    def missed(self) -> int:
        """How many runs kept the rules but missed the target."""
        return sum(run.missed for run in self.runs)

    @property
    def official(self) -> bool:
        """Whether there are runs enough for a score."""
        return _official(len(self.counted), self.missed)


def scores(runs: Sequence[Run]) -> list[Score]:
    """The runs by setting, in the order of their first logs; unreadable ones belong to none."""
    groups: dict[Setting, list[Run]] = {}
    for run in runs:
        if run.summary is not None:
            groups.setdefault(Setting.of(run.summary), []).append(run)
    return [_score(setting, group) for setting, group in groups.items()]


def plain_mean(values: Sequence[float]) -> Estimate:
    """The mean of all values."""
    count = len(values)
    error = stdev(values) / math.sqrt(count) if count > 1 else math.nan
    return Estimate(fmean(values), error, count - 1 or math.nan)


def olympic_mean(values: Sequence[float]) -> Estimate:
    """The mean of three or more values without the lowest and the highest, which may be infinite.

    Its standard error is Tukey and McLaughlin's (1963, Less vulnerable confidence and significance
    procedures for location): from the Winsorised variance.
    """
    count, kept = len(values), sorted(values)[1:-1]
    winsorised = [kept[0], *kept, kept[-1]]
    error = stdev(winsorised) / (len(kept) / count * math.sqrt(count))
    return Estimate(fmean(kept), error, len(kept) - 1)


def ratio(one: Estimate, other: Estimate) -> tuple[float, float, float]:
    """`one` over `other`, with its 95 % interval.

    Errors of a ratio's logarithm add up; degrees of freedom are Welch's (1947).
    """
    value = one.mean / other.mean
    parts = [(x.error / x.mean) ** 2 for x in (one, other)]
    variance = sum(parts)
    weights = [part**2 / x.freedom for part, x in zip(parts, (one, other), strict=True)]
    # Runs without any spread have no degrees of freedom to weigh.
    freedom = variance**2 / sum(weights) if variance else one.freedom + other.freedom
    factor = _factor(variance, freedom)
    return value, value / factor, value * factor


def _score(setting: Setting, runs: Sequence[Run]) -> Score:
    counted = [run.summary for run in runs if run.counts and run.summary is not None]
    missed = sum(run.missed for run in runs)
    times = [run.time_to_solution for run in counted]
    official = _official(len(counted), missed)

    def mean(values: list[float]) -> float:
        return fmean(values) if values else math.nan

    seconds = plain_mean(times) if times else None
    return Score(
        setting=setting,
        runs=runs,
        seconds=olympic_mean([*times, *[math.inf] * missed]) if official else seconds,
        spread=stdev(times) if len(times) > 1 else math.nan,
        epochs=mean([run.epochs for run in counted]),
        samples=mean([run.samples for run in counted]),
        throughput=mean([run.throughput for run in counted]),
        accuracy=mean([run.final_accuracy for run in counted]),
    )


def _official(counted: int, missed: int) -> bool:
    return counted + missed >= FEWEST_RUNS and missed <= MOST_MISSED


def _factor(variance: float, freedom: float) -> float:
    """The half width of an interval of a logarithm, as a factor; NaN if it means nothing."""
    if not freedom >= FEWEST_FREEDOM:
        return math.nan
    return math.exp(float(stats.t.ppf((1 + CONFIDENCE) / 2, freedom)) * math.sqrt(variance))
