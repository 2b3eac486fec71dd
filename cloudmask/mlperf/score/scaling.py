"""How well larger systems of one family use what they have more of."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from cloudmask.mlperf.score.scores import Score


@dataclass(frozen=True)
class Scaling:
    """A system against the smallest one of its family; 1 is perfect.

    Attributes:
        size: accelerators, or nodes where there are none.
        throughput: training patches per second and unit of size, over that of the smallest.
        solution: time to solution x size of the smallest, over that of this one. It is the lower
            of the two where a larger batch takes more epochs.
    """

    score: Score
    smallest: Score
    throughput: float
    solution: float

    @property
    def size(self) -> int:
        """World size."""
        return self.score.setting.size


def scalings(scores: Sequence[Score]) -> list[Scaling]:
    """The efficiency of every family of which there are several sizes, by family and size.

    By the names of the `config_<SYSTEM>.sh`, systems are of one family if their names agree up to
    the first underscore: DGX2 and DGX2_2x16. They are compared on the same data, with the same
    recipe; of each size, the fastest stands for it.
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
        found += [_scaling(sizes[size], base) for size in sorted(sizes) if len(sizes) > 1]
    return found


def _scaling(score: Score, base: Score) -> Scaling:
    growth = score.setting.size / base.setting.size
    return Scaling(
        score=score,
        smallest=base,
        throughput=score.throughput / base.throughput / growth,
        solution=_seconds(base) / _seconds(score) / growth,
    )


def _seconds(score: Score) -> float:
    assert score.seconds is not None
    return score.seconds.mean
