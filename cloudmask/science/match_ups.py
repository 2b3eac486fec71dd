"""Satellite minus buoy SST where a mask is clear: the benchmark's own test of cloud masks.

Missed cloud makes the satellite's SST colder than the buoy's: the median falls and the robust
standard deviation grows. The criteria are those of the benchmark's authors.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import bootstrap

from cloudmask.errors import InputError
from cloudmask.scenes.readers import product_name
from cloudmask.science.bootstrap import BOOTSTRAP_SAMPLES, CONFIDENCE, SEED, Estimate
from cloudmask.science.cloud_masks import NETWORK
from cloudmask.science.pixel_features import Mask
from cloudmask.science.sst.consistency import MAD_TO_STANDARD_DEVIATION
from cloudmask.science.sst.matchup_table import Column, MatchUps
from cloudmask.science.sst.retrieval import CELSIUS_KELVIN

# Largest distance of buoy and pixel, degrees, and largest view zenith angle, degrees.
MAX_LATITUDE, MAX_LONGITUDE, MAX_ZENITH = 0.005, 0.01, 55.0
BEST_QUALITY = 5
BAYES_PROBABILITY = "bayes_probability"
"""The table's own probabilities of cloud: clear where both views have less than this."""
CLOUD_PROBABILITY = 0.9

Clear = Mapping[str, NDArray[np.int64]]
"""Of one scene, by mask: 1 clear, 0 cloud for each match-up of the scene, in the table's order."""


def select(table: MatchUps, scenes: Iterable[Path], min_sst: float) -> tuple[Mask, dict[str, int]]:
    """The rows (rows,) that are compared, and how many others were left out for which reason.

    Raises:
        InputError: no row is of one of the scenes.
    """
    columns = table.columns
    listed = np.isin(table.products, [product_name(path) for path in scenes])
    if not listed.any():
        raise InputError(
            f"--matchups {table.path}: no row is of a scene of --scenes; the first is of "
            f"{table.products[0]}"
        )
    criteria = {"not of these scenes": listed, **_criteria(columns, min_sst)}
    kept = np.ones(len(table), np.bool_)
    left_out = {}
    for reason, met in criteria.items():
        if number := int((kept & ~met).sum()):
            left_out[reason] = number
        kept &= met
    return kept, left_out


def _criteria(columns: Mapping[str, Column], min_sst: float) -> dict[str, Mask]:
    with np.errstate(invalid="ignore"):
        criteria = {
            f"quality level below {BEST_QUALITY}": columns["quality_level"] == BEST_QUALITY,
            f"view zenith over {MAX_ZENITH:g} degrees": np.logical_and.reduce(
                [columns[name] <= MAX_ZENITH for name in ("satzan", "satzao") if name in columns]
            ),
            f"an SST not above {min_sst:g} K": (columns["isst"] + CELSIUS_KELVIN > min_sst)
            & (columns["sat_sst_2"] > min_sst),
        }
        if {"slat", "slon", "latitude_an", "longitude_an"} <= columns.keys():
            east = (columns["slon"] - columns["longitude_an"] + 180) % 360 - 180
            criteria["buoy too far from its pixel"] = (
                np.abs(columns["slat"] - columns["latitude_an"]) <= MAX_LATITUDE
            ) & (np.abs(east) <= MAX_LONGITUDE)
    return criteria


def clear_at(
    table: MatchUps, kept: Mask, scene: str, masks: Mapping[str, Mask], seen: Mask
) -> Clear:
    """Which masks are clear at the kept match-ups of a scene; none where a pixel is not `seen`.

    `masks` and `seen` are (1200, 1500). A pixel outside of the scene is not seen.
    """
    rows = np.flatnonzero(kept & (table.products == scene))
    y, x = (table.columns[name][rows] for name in ("y_cems", "x_cems"))
    with np.errstate(invalid="ignore"):
        inside = (y >= 0) & (y < seen.shape[0]) & (x >= 0) & (x < seen.shape[1])
    rows = rows[inside]
    at = tuple(table.columns[name][rows].astype(np.int64) for name in ("y_cems", "x_cems"))
    here = seen[at]
    rows, at = rows[here], tuple(index[here] for index in at)
    clear = {name: (~mask[at]).astype(np.int64) for name, mask in masks.items()}
    probabilities = [table.columns[n][rows] for n in ("pcloudn", "pcloudo") if n in table.columns]
    if probabilities:
        below = np.logical_and.reduce([each < CLOUD_PROBABILITY for each in probabilities])
        clear[BAYES_PROBABILITY] = below.astype(np.int64)
    return {"row": rows, **clear}


def compare(table: MatchUps, scenes: Iterable[Clear]) -> dict[str, Any]:
    """Median and robust standard deviation of each mask, and network minus each other mask.

    Intervals are 95 % percentile intervals of scipy's bootstrap over scenes. A mask that a scene
    lacks has no match-up there.
    """
    found = [scene for scene in scenes if len(scene["row"])]
    difference = table.columns["sat_sst_2"] - table.columns["isst"] - CELSIUS_KELVIN
    names = dict.fromkeys(name for scene in found for name in scene if name != "row")
    anomalies = {
        name: [difference[scene["row"][scene[name] > 0]] for scene in found if name in scene]
        for name in names
    }
    masks: dict[str, Any] = {
        name: {
            "clear": _count(sum(map(len, parts)), len(found)),
            **{score: _estimate(of, parts) for score, of in SCORES.items()},
        }
        for name, parts in anomalies.items()
    }
    differences = {
        name: {score: _estimate(of, anomalies[NETWORK], parts) for score, of in SCORES.items()}
        for name, parts in anomalies.items()
        if name != NETWORK and len(parts) == len(anomalies.get(NETWORK, ()))
    }
    number = sum(len(scene["row"]) for scene in found)
    return {
        "match_ups": number,
        "scenes": len(found),
        "masks": masks,
        "differences": differences,
    }


def _count(number: int, scenes: int) -> Estimate:
    return Estimate(number, np.nan, np.nan, scenes)


def _median(values: Column) -> float:
    return float(np.median(values)) if values.size else np.nan


def _robust_deviation(values: Column) -> float:
    return MAD_TO_STANDARD_DEVIATION * _median(np.abs(values - _median(values)))


SCORES: dict[str, Callable[[Column], float]] = {
    "median_kelvin": _median,
    "robust_deviation_kelvin": _robust_deviation,
}


def _estimate(
    score: Callable[[Column], float], parts: list[Column], others: list[Column] | None = None
) -> Estimate:
    """A score over all scenes, or its difference from that of `others`, with its interval."""

    def of(scenes: NDArray[np.int64]) -> float:
        value = score(np.concatenate([parts[index] for index in scenes]))
        if others is not None:
            value -= score(np.concatenate([others[index] for index in scenes]))
        return value

    every = np.arange(len(parts))
    value = of(every)
    if len(parts) < 2 or not np.isfinite(value):
        return Estimate(value, np.nan, np.nan, len(parts))
    interval = bootstrap(
        (every,),
        of,
        n_resamples=BOOTSTRAP_SAMPLES,
        vectorized=False,
        confidence_level=CONFIDENCE,
        method="percentile",
        rng=np.random.default_rng(SEED),
    ).confidence_interval
    return Estimate(value, float(interval.low), float(interval.high), len(parts))
