"""The score of the runs of one setting, with its standard deviation and confidence interval.

The score is MLPerf's: the mean time to solution of five runs without the fastest and the slowest.
One of them may have failed; it is the slowest. Of more than five runs, in the order of their
start, every five consecutive ones are a set; the score is that of the set with the median mean,
where a set with more than one failed run counts as infinite (MLPerf training rules, section on
benchmark results). With fewer runs, or a median that is infinite, there is no score, only the mean
of the valid runs.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from statistics import fmean, stdev

from scipy import stats

from cloudmask.mlperf.log.run_summary import RunSummary
from cloudmask.mlperf.score.runs import Run
from cloudmask.mlperf.score.setting import Setting

RUNS = 5  # of a set
MOST_FAILED = 1  # of the runs of a set
CONFIDENCE = 0.95
FEWEST_DEGREES_OF_FREEDOM = 2


@dataclass(frozen=True)
class Estimate:
    """A mean time in seconds, its standard error and degrees of freedom; NaN for a single run."""

    mean: float
    standard_error: float
    degrees_of_freedom: float

    @property
    def interval(self) -> tuple[float, float]:
        """The 95 % confidence interval: Student's t of the logarithm, as times are positive.

        NaN for fewer than three runs.
        """
        variance = (self.standard_error / self.mean) ** 2
        factor = _interval_factor(variance, self.degrees_of_freedom)
        return self.mean / factor, self.mean * factor


@dataclass(frozen=True)
class Score:
    """The runs of one setting, valid or not, and their score."""

    setting: Setting
    runs: Sequence[Run]

    @property
    def valid_runs(self) -> list[RunSummary]:
        """The summaries of the valid runs."""
        return [run.summary for run in self.runs if run.valid and run.summary is not None]

    @property
    def failed(self) -> int:
        """The number of runs that met no target."""
        return sum(run.failed for run in self.runs)

    @property
    def official(self) -> bool:
        """Whether the runs make a score."""
        return bool(self.scored_runs)

    @cached_property
    def scored_runs(self) -> Sequence[Run]:
        """The set of five runs that makes the score; empty if there is none.

        Of the two sets in the middle of an even number of sets it is the slower one.
        """
        entered = sorted((run for run in self.runs if run.valid or run.failed), key=_start)
        sets = [entered[first : first + RUNS] for first in range(len(entered) - RUNS + 1)]
        if not sets:
            return []
        median = sorted(sets, key=_set_mean)[len(sets) // 2]
        return median if math.isfinite(_set_mean(median)) else []

    @property
    def seconds(self) -> Estimate | None:
        """The score, or else the mean of the valid runs; None if no run is valid."""
        if self.official:
            return olympic_mean([_seconds(run) for run in self.scored_runs])
        return plain_mean(self._times) if self._times else None

    @property
    def standard_deviation(self) -> float:
        """Of the times of the valid runs, in seconds; NaN for a single run."""
        return stdev(self._times) if len(self._times) > 1 else math.nan

    def mean(self, attribute: str) -> float:
        """The mean of an attribute of the valid runs, e.g. 'epochs'; NaN if no run is valid."""
        values = [getattr(run, attribute) for run in self.valid_runs]
        return fmean(values) if values else math.nan

    @property
    def _times(self) -> list[float]:
        return [run.time_to_solution for run in self.valid_runs]


def _start(run: Run) -> tuple[int, str]:
    assert run.summary is not None
    return run.summary.started, str(run.path)


def _seconds(run: Run) -> float:
    """The time to solution; infinite for a failed run."""
    assert run.summary is not None
    return run.summary.time_to_solution if run.valid else math.inf


def _set_mean(runs: Sequence[Run]) -> float:
    return fmean(sorted(_seconds(run) for run in runs)[1:-1])


def scores(runs: Sequence[Run]) -> list[Score]:
    """The score of each setting, in the order of the first logs; unreadable logs are left out."""
    groups: dict[Setting, list[Run]] = {}
    for run in runs:
        if run.summary is not None:
            groups.setdefault(Setting.of(run.summary), []).append(run)
    return [Score(setting, group) for setting, group in groups.items()]


def plain_mean(values: Sequence[float]) -> Estimate:
    """The mean of all values, with its standard error."""
    count = len(values)
    error = stdev(values) / math.sqrt(count) if count > 1 else math.nan
    return Estimate(fmean(values), error, count - 1 or math.nan)


def olympic_mean(values: Sequence[float]) -> Estimate:
    """The mean without the lowest and the highest of three or more values, which may be infinite.

    The standard error is that of a trimmed mean, from the Winsorised variance (Tukey and
    McLaughlin 1963, Less vulnerable confidence and significance procedures for location).
    """
    count, kept = len(values), sorted(values)[1:-1]
    winsorised = [kept[0], *kept, kept[-1]]
    error = stdev(winsorised) / (len(kept) / count * math.sqrt(count))
    return Estimate(fmean(kept), error, len(kept) - 1)


def ratio(one: Estimate, other: Estimate) -> tuple[float, float, float]:
    """`one` over `other`, with its 95 % confidence interval.

    The variances of the logarithms add up; the degrees of freedom are Welch's (1947).
    """
    value = one.mean / other.mean
    parts = [(x.standard_error / x.mean) ** 2 for x in (one, other)]
    variance = sum(parts)
    freedoms = [one.degrees_of_freedom, other.degrees_of_freedom]
    weights = [part**2 / freedom for part, freedom in zip(parts, freedoms, strict=True)]
    # Without any variance, Welch's formula is 0 / 0.
    freedom = variance**2 / sum(weights) if variance else sum(freedoms)
    factor = _interval_factor(variance, freedom)
    return value, value / factor, value * factor


def _interval_factor(variance: float, freedom: float) -> float:
    """The half width of the confidence interval of a logarithm, as a factor; NaN if undefined."""
    if not freedom >= FEWEST_DEGREES_OF_FREEDOM:
        return math.nan
    return math.exp(float(stats.t.ppf((1 + CONFIDENCE) / 2, freedom)) * math.sqrt(variance))
