"""Scaling efficiency of systems of one family."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from cloudmask.mlperf.score.scores import Score


@dataclass(frozen=True)
class ScalingEfficiency:
    """The efficiency of a system relative to the smallest of its family; 1 is ideal.

    Attributes:
        size: accelerators, or nodes where there are none.
        throughput: training patches per second and unit of size, over that of the smallest.
        solution: time to solution x size of the smallest, over that of this one; below
            `throughput` if a larger batch needs more epochs.
    """

    score: Score
    smallest: Score
    throughput: float
    solution: float

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
        smallest=base,
        throughput=score.throughput / base.throughput / growth,
        solution=_seconds(base) / _seconds(score) / growth,
    )


def _seconds(score: Score) -> float:
    assert score.seconds is not None
    return score.seconds.mean
