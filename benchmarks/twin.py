"""The twin of DS1 against what is published of DS1: a table of measure, published value and twin.

    python -m benchmarks.twin DATADIR [--scenes N]

DATADIR is a folder of `cloudmask synthesize --like ds1`. Scenes are read one after the other, about
a second each. Published: thumbnails of the 100 inference scenes, the authors' converter, and SLSTR
products of the same years.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import h5py
import numpy as np
from numpy.typing import NDArray

from cloudmask.errors import InputError
from cloudmask.patches.geometry import training_region
from cloudmask.scenes.layout import list_scenes
from cloudmask.tables import Table, counted, number


@dataclass(frozen=True)
class SceneStatistics:
    """Measures of one scene; shares are 0 to 1.

    Attributes:
        label: cloud by label among all pixels, as in DS1's thumbnails, borders included.
        label_inside: the same without borders.
        truth_agrees: pixels of the training region whose label is the truth.
        sunlit: whether most pixels have a signal in S1.
        left, right: mean width of the borders in columns.
        no_s7: pixels inside without S7.
        hottest_s7: kelvin.
        copied: pixels inside that equal their left neighbour in S8 and S9.
        night_noise: standard deviation of S5 by night; NaN by day.
        reflectance: mean of S1 inside; NaN by night.
    """

    label: float
    label_inside: float
    truth_agrees: float
    sunlit: bool
    left: float
    right: float
    no_s7: float
    hottest_s7: float
    copied: float
    night_noise: float
    reflectance: float


def measure(path: Path) -> SceneStatistics:
    """The measures of a scene's file."""
    with h5py.File(path) as file:
        bts, refs = file["bts"][...], file["refs"][...]
        label, truth = (file[name][..., 0] > 0 for name in ("bayes", "truth"))
    inside = (bts[..., 1:] != 0).any(axis=-1)
    widths = border_widths(inside)
    region = training_region()
    s7, thermal = bts[..., 0][inside], bts[..., 1:]
    sunlit = bool((refs[..., 0][inside] != 0).mean() > 0.5)
    return SceneStatistics(
        label=float(label.mean()),
        label_inside=float(label[inside].mean()),
        truth_agrees=float((label == truth)[region].mean()),
        sunlit=sunlit,
        left=widths[0],
        right=widths[1],
        no_s7=float((s7 == 0).mean()),
        hottest_s7=float(s7.max()),
        copied=copied_share(thermal, inside),
        night_noise=float("nan") if sunlit else float(refs[..., 4][inside].std()),
        reflectance=float(refs[..., 0][inside].mean()) if sunlit else float("nan"),
    )


def border_widths(inside: NDArray[np.bool_]) -> tuple[float, float]:
    """Mean columns left and right of the pixels that are inside, over rows that have any."""
    rows = inside[inside.any(axis=1)]
    return float(rows.argmax(axis=1).mean()), float(rows[:, ::-1].argmax(axis=1).mean())


def copied_share(values: NDArray[np.float32], inside: NDArray[np.bool_]) -> float:
    """Share of the inside pixels of `values` (H, W, C) that equal their left neighbour."""
    same = (values[:, 1:] == values[:, :-1]).all(axis=-1) & inside[:, 1:] & inside[:, :-1]
    return float(same.sum() / inside.sum())


def table(scenes: Sequence[SceneStatistics]) -> Table:
    """Measure, published value and that of the twin."""
    day = [scene for scene in scenes if scene.sunlit]
    night = [scene for scene in scenes if not scene.sunlit]

    def over(values: Sequence[float], decimals: int) -> str:
        finite = [value for value in values if np.isfinite(value)]
        if not finite:
            return number(None)
        low, high = (number(end, decimals) for end in (min(finite), max(finite)))
        return f"{number(float(np.mean(finite)), decimals)} ({low} to {high})"

    rows = [
        ("scenes by day", "0.55", number(len(day) / len(scenes), 2)),
        ("cloud by label", "0.787 (0.46 to 0.99)", over([s.label for s in scenes], 3)),
        ("by day, without borders", "0.775", over([s.label_inside for s in day], 3)),
        ("by night, without borders", "0.850", over([s.label_inside for s in night], 3)),
        ("columns missing left", "about 27", over([s.left for s in scenes], 1)),
        ("columns missing right", "14 to 17", over([s.right for s in scenes], 1)),
        ("copied (cosmetic) pixels", "0.23 to 0.28", over([s.copied for s in scenes], 3)),
        ("without S7", "up to 0.62", over([s.no_s7 for s in scenes], 3)),
        ("hottest S7, K", "305 to 312", over([s.hottest_s7 for s in scenes], 1)),
        ("noise of S5 by night", "not published", over([s.night_noise for s in scenes], 4)),
        ("S1 by day", "not published", over([s.reflectance for s in scenes], 3)),
        ("label agrees with truth", "not known", over([s.truth_agrees for s in scenes], 3)),
    ]
    title = f"Twin of DS1, {counted(len(scenes), 'scene')}: mean (range) over scenes"
    return Table(title, ("measure", "published", "twin"), rows, alignment="lll")


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("datadir", type=Path)
    parser.add_argument("--scenes", type=int, help="at most so many (default: all)")
    options = parser.parse_args()
    try:
        subsets = ("training", "inference")
        paths = [path for subset in subsets for path in list_scenes(options.datadir, subset)]
        if not paths:
            raise InputError(f"{options.datadir} has no scenes: make some with --like ds1")
        print(table([measure(path) for path in paths[: options.scenes]]).markdown())
    except InputError as error:
        parser.error(str(error))


if __name__ == "__main__":
    main()
