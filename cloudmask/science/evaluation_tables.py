"""Tables of an evaluation report: scores, differences, strata, reliability, scenes, agreement."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from cloudmask.science.cloud_masks import NETWORK
from cloudmask.tables import Table, estimate, number

Json = dict[str, Any]
DECIMALS = 4


def score_table(title: str, masks: Json, leave_out: Sequence[str] = ()) -> Table:
    """Values of all scores, a row for each mask."""
    names = [name for name in _score_names(masks) if name not in leave_out]
    rows = [[mask, *(_value(scores.get(name)) for name in names)] for mask, scores in masks.items()]
    return Table(title, ["mask", *map(_spaced, names)], rows)


def interval_table(title: str, masks: Json) -> Table:
    """Values of all scores with intervals, a row for each mask."""
    names = _score_names(masks)
    rows = [
        [mask, *(estimate(scores.get(name), DECIMALS) for name in names)]
        for mask, scores in masks.items()
    ]
    return Table(title, ["mask", *map(_spaced, names)], rows)


def difference_table(reference: str, differences: Json) -> Table:
    """Network minus each other mask with intervals, a row for each score."""
    rows = [
        [
            _spaced(name),
            *(estimate(scores.get(name), DECIMALS, sign=True) for scores in differences.values()),
        ]
        for name in _score_names(differences)
    ]
    return Table(f"{NETWORK} minus mask, {reference}", ["score", *differences], rows)


def strata_table(reference: str, part: Json) -> Table:
    """Accuracy of each mask, a row for each stratum."""
    rows = [
        [f"{family}: {stratum}", str(scores["pixels"])]
        + [_value(scores["masks"].get(mask, {}).get("accuracy")) for mask in part["masks"]]
        for family, strata in part["strata"].items()
        for stratum, scores in strata.items()
    ]
    return Table(
        f"accuracy by stratum, against {reference}", ["stratum", "pixels", *part["masks"]], rows
    )


def reliability_table(reference: str, reliability: Json) -> Table:
    """Cloudy share and pixels by mask, a row for each bin of probability."""
    columns = ["probability"]
    for mask in reliability:
        columns += [f"{mask}, cloudy share", "pixels"]
    rows = [
        [f"{bins[0]['from']:.1f} to {bins[0]['to']:.1f}"]
        + [
            cell
            for found in bins
            for cell in (number(found["cloudy_share"], DECIMALS), number(found["pixels"], 0))
        ]
        for bins in zip(*reliability.values(), strict=True)
    ]
    return Table(f"cloudy share by probability, against {reference}", columns, rows)


def scene_table(report: Json, reference: str, name_of: Callable[[str], str] = str) -> Table:
    """Accuracy of each mask, a row for each scene that has the reference."""
    masks = list(report["references"][reference]["masks"])
    rows = [
        [name_of(scene["scene"]), number(scene["day_share"], 2)]
        + [number(scores.get(mask, {}).get("accuracy"), DECIMALS) for mask in masks]
        for scene in report["per_scene"]
        if (scores := scene["references"].get(reference))
    ]
    return Table(f"accuracy by scene, against {reference}", ["scene", "day share", *masks], rows)


def agreement_table(pairs: Sequence[Json]) -> Table:
    """Agreement and Cohen's kappa, a row for each pair of masks."""
    rows = [[*pair["masks"], _value(pair["agreement"]), _value(pair["kappa"])] for pair in pairs]
    return Table("agreement of two masks", ["mask", "other mask", "agreement", "kappa"], rows, "ll")


def _score_names(masks: Json) -> list[str]:
    return list(dict.fromkeys(name for scores in masks.values() for name in scores))


def _spaced(name: str) -> str:
    return name.replace("_", " ")


def _value(found: Json | None) -> str:
    return number(None if found is None else found["value"], DECIMALS)
