"""The report of `evaluate` as plain text: tables, then what may be said of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from cloudmask.science.cloud_masks import NETWORK

Json = dict[str, Any]

UNDEFINED = "-"


def text_report(report: Json) -> str:
    """All tables of a report made by `evaluation_report`, ending with a newline."""
    parts = [f"{len(report['scenes'])} scenes, {report['settings']['weights']}"]
    parts += [f"not used: {problem}" for problem in report["unusable"].values()]
    for name, part in report["references"].items():
        parts += _against(name, part)
    parts += ["SST consistency, no truth needed", _scores(report["sst"]["masks"])]
    parts += [f"{NETWORK} minus", _differences(report["sst"]["differences"])]
    parts += ["agreement of two masks, kappa in brackets", _agreement(report["agreement"])]
    parts += _scenes(report)
    parts += ["findings", _sentences(report["findings"]), "notes", _sentences(report["notes"])]
    return "\n\n".join(parts) + "\n"


def _against(name: str, part: Json) -> list[str]:
    tables = [f"against {name}, {part['pixels']} pixels", _scores(part["masks"])]
    tables += [f"{NETWORK} minus, against {name}", _differences(part["differences"])]
    rows = [
        [family, stratum, str(of["pixels"]), *_values(of["masks"], part["masks"], "accuracy")]
        for family, strata in part["strata"].items()
        for stratum, of in strata.items()
    ]
    head = ["accuracy by", "", "pixels", *part["masks"]]
    tables.append(_grid([head, *rows], left=2))
    if part["reliability"]:
        tables += [f"cloudy share by probability, against {name}", _reliability(part)]
    return tables


def _scores(masks: Json) -> str:
    names = list(dict.fromkeys(score for scores in masks.values() for score in scores))
    rows = [[mask, *(_value(scores.get(name)) for name in names)] for mask, scores in masks.items()]
    return _grid([["", *names], *rows])


def _differences(masks: Json) -> str:
    names = list(dict.fromkeys(score for scores in masks.values() for score in scores))
    head = ["", *masks]
    rows = [[name, *(_interval(masks[mask].get(name)) for mask in masks)] for name in names]
    return _grid([head, *rows])


def _reliability(part: Json) -> str:
    masks = part["reliability"]
    some = next(iter(masks.values()))
    head = ["probability", *masks]
    rows = [
        [
            f"{row['from']:.1f} to {row['to']:.1f}",
            *(_number(masks[mask][index]["cloudy_share"]) for mask in masks),
        ]
        for index, row in enumerate(some)
    ]
    return _grid([head, *rows])


def _agreement(pairs: Sequence[Json]) -> str:
    masks = list(dict.fromkeys(mask for pair in pairs for mask in pair["masks"]))
    cells = {
        frozenset(pair["masks"]): f"{_value(pair['agreement'])} ({_value(pair['kappa'])})"
        for pair in pairs
    }
    rows = [
        [
            one,
            *([""] * row),
            *(cells.get(frozenset((one, other)), "") for other in masks[row + 1 :]),
        ]
        for row, one in enumerate(masks[:-1])
    ]
    return _grid([["", *masks[1:]], *rows])


def _scenes(report: Json) -> list[str]:
    tables = []
    for reference, part in report["references"].items():
        masks = list(part["masks"])
        rows = [
            [
                scene["scene"],
                _number(scene["day_share"]),
                *(
                    _number(scene["references"][reference].get(mask, {}).get("accuracy"))
                    for mask in masks
                ),
            ]
            for scene in report["per_scene"]
            if reference in scene["references"]
        ]
        head = [f"accuracy against {reference}", "day", *masks]
        tables.append(_grid([head, *rows]))
    return tables


def _values(masks: Json, columns: Json, score: str) -> list[str]:
    return [_value(masks.get(mask, {}).get(score)) for mask in columns]


def _value(estimate: Json | None) -> str:
    return UNDEFINED if estimate is None else _number(estimate["value"])


def _interval(estimate: Json | None) -> str:
    if estimate is None or estimate["value"] is None:
        return UNDEFINED
    if estimate["low"] is None:
        return f"{estimate['value']:+.4f}"
    return f"{estimate['value']:+.4f} ({estimate['low']:+.4f} to {estimate['high']:+.4f})"


def _number(value: float | None) -> str:
    return UNDEFINED if value is None else f"{value:.4f}"


def _sentences(sentences: Sequence[str]) -> str:
    return "\n".join(f"- {sentence}" for sentence in sentences)


def _grid(rows: Sequence[Sequence[str]], left: int = 1) -> str:
    """Columns as wide as their widest cell, the first `left` ones flush left."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = [
        "  ".join(
            cell.ljust(width) if column < left else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        for row in rows
    ]
    return "\n".join(line.rstrip() for line in lines)
