"""Scaling efficiency of systems of one family."""

from collections.abc import Sequence
from dataclasses import dataclass

from cloudmask.mlperf.score.scores import Score


@dataclass(frozen=True)
class ScalingEfficiency:
    """The efficiency of a system relative to the smallest of its family; 1 is ideal."""

    score: Score
    throughput: float  # training patches per second and unit of size, over that of the smallest
    solution: float  # size x time to solution of the smallest, over that of this one

    @property
    def size(self) -> int:
        """World size."""
        return self.score.setting.size


def scaling_efficiencies(scores: Sequence[Score]) -> list[ScalingEfficiency]:
    """The efficiencies of every family with several sizes, by family and size.

    Systems are of one family if their names agree up to the first underscore, as in DGX2 and
    DGX2_2x16, and they ran the same recipe on the same data. The fastest system of each size is
    used.
    """
    families: dict[tuple[str, ...], dict[int, Score]] = {}
    for score in scores:
        if score.seconds is None:
            continue
        setting = score.setting
        family = (setting.platform.partition("_")[0], setting.recipe, setting.benchmark)
        sizes = families.setdefault(family, {})
        best = sizes.get(setting.size)
        if best is None or _seconds(score) < _seconds(best):
            sizes[setting.size] = score
    found = []
    for sizes in families.values():
        base = sizes[min(sizes)]
        found += [_efficiency(sizes[size], base) for size in sorted(sizes) if len(sizes) > 1]
    return found


def _efficiency(score: Score, base: Score) -> ScalingEfficiency:
    growth = score.setting.size / base.setting.size
    return ScalingEfficiency(
        score=score,
        throughput=score.mean("throughput") / base.mean("throughput") / growth,
        solution=_seconds(base) / _seconds(score) / growth,
    )


def _seconds(score: Score) -> float:
    assert score.seconds is not None
    return score.seconds.mean
