"""The sections about an evaluation: what `evaluate` found, as figures with their numbers."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from cloudmask.errors import InputError
from cloudmask.report.blocks import UNDEFINED, Block, Picture, Section, Table, number, sensing_start
from cloudmask.report.evaluation_figures import draw_agreement, draw_reliability, draw_scenes
from cloudmask.science.command import JSON_NAME
from cloudmask.science.evaluation_report import FORMAT

Json = dict[str, Any]

REFERENCES = ("truth", "label")
HOW_TO_EVALUATE = (
    "No evaluation was given, so nothing is said here of accuracy by scene, of calibration or of "
    "other masks. Make one with “python -m cloudmask evaluate --weights … --scenes … "
    "--training-scenes … --output evaluation”, then give “--evaluation evaluation”."
)


def read_evaluation(path: Path) -> Json:
    """The report that `evaluate` wrote: its JSON file, or the folder that holds it.

    Raises:
        InputError: there is none, or it is not one of this version.
    """
    file = path / JSON_NAME if path.is_dir() else path
    advice = f"give the {JSON_NAME} that evaluate --output writes"
    try:
        report = json.loads(file.read_text())
    except OSError as error:
        raise InputError(f"--evaluation {file}: {error.strerror}: {advice}") from error
    except ValueError as error:
        raise InputError(f"--evaluation {file} is not JSON ({error}): {advice}") from error
    if not isinstance(report, dict) or report.get("format") != FORMAT:
        raise InputError(f"--evaluation {file} is not of the format {FORMAT}: make it anew")
    return report


def answer_sections(report: Json) -> list[Section]:
    """Findings, scores by scene, calibration and agreement.

    Raises:
        InputError: a part of the evaluation is missing.
    """
    try:
        return [
            _findings(report),
            *_scenes(report),
            *_calibration(report),
            *_agreement(report),
        ]
    except (KeyError, TypeError, AttributeError, IndexError) as error:
        raise InputError(
            f"the evaluation lacks a part that the report shows ({error}): make it anew"
        ) from error


def _findings(report: Json) -> Section:
    blocks: list[Block] = [
        f"{len(report['scenes'])} scenes, weights {report['settings']['weights']}.",
        *(f"Not used: {problem}" for problem in report["unusable"].values()),
        *report["findings"],
    ]
    for reference in REFERENCES:
        if part := report["references"].get(reference):
            caption = f"Against {reference}, {part['pixels']} pixels"
            blocks.append(_estimates(caption, part["masks"], skip=("precision", "wbce")))
    blocks.append(_estimates("SST consistency, no truth needed", report["sst"]["masks"]))
    for reference in REFERENCES:
        if part := report["references"].get(reference):
            blocks += [
                _differences(f"Network minus the other mask, against {reference}", part),
                _strata(f"Accuracy against {reference} by kind of pixel", part),
            ]
    blocks += report["notes"]
    return Section("answer", "Is the network better than Bayesian?", blocks)


def _estimates(caption: str, masks: Json, skip: Sequence[str] = ()) -> Table:
    names = [name for name in _score_names(masks) if name not in skip]
    rows = [[mask, *(_value(scores.get(name)) for name in names)] for mask, scores in masks.items()]
    return Table(caption, ["mask", *map(_spaced, names)], rows)


def _differences(caption: str, part: Json) -> Table:
    masks = part["differences"]
    rows = [
        [_spaced(name), *(_interval(masks[mask].get(name)) for mask in masks)]
        for name in _score_names(masks)
    ]
    return Table(caption, ["score", *masks], rows, folded=True)


def _strata(caption: str, part: Json) -> Table:
    rows = [
        [f"{family}: {stratum}", str(of["pixels"])]
        + [_value(of["masks"].get(mask, {}).get("accuracy")) for mask in part["masks"]]
        for family, strata in part["strata"].items()
        for stratum, of in strata.items()
    ]
    return Table(caption, ["pixels of", "number", *part["masks"]], rows, folded=True)


def _scenes(report: Json) -> list[Section]:
    """Accuracy of every mask in every scene, against the best reference that there is."""
    reference = next((name for name in REFERENCES if name in report["references"]), None)
    if reference is None:
        return []
    masks = list(report["references"][reference]["masks"])
    accuracies = [
        (
            sensing_start(scene["scene"]),
            {
                mask: scores["accuracy"]
                for mask, scores in scene["references"][reference].items()
                if scores["accuracy"] is not None
            },
        )
        for scene in report["per_scene"]
        if reference in scene["references"]
    ]
    rows = [
        [scene, *(number(scores.get(mask), 4) for mask in masks)] for scene, scores in accuracies
    ]
    spoken = [
        f"{mask}: {min(values):.3f} to {max(values):.3f}."
        for mask in masks
        if (values := [scores[mask] for _, scores in accuracies if mask in scores])
    ]
    picture = Picture(
        name="scenes",
        caption=f"Share of each scene's pixels that are as in the {reference}; scenes by the start "
        "of sensing.",
        alt=f"Accuracy against {reference} of {len(accuracies)} scenes, lowest to highest. "
        + " ".join(spoken),
        figure=draw_scenes(accuracies, masks),
        numbers=Table("Accuracy by scene", ["scene", *masks], rows, folded=True),
    )
    return [Section("scenes", "Accuracy by scene", [picture])]


def _calibration(report: Json) -> list[Section]:
    pictures: list[Block] = []
    for reference in REFERENCES:
        curves = report["references"].get(reference, {}).get("reliability")
        if not curves:
            continue
        some = next(iter(curves.values()))
        head = ["probability", *(f"{mask}, {what}" for mask in curves for what in ("%", "pixels"))]
        rows = [
            [f"{row['from']:.1f} to {row['to']:.1f}"]
            + [
                cell
                for bins in curves.values()
                for cell in (_percent(bins[index]["cloudy_share"]), f"{bins[index]['pixels']:.0f}")
            ]
            for index, row in enumerate(some)
        ]
        spoken = " ".join(
            f"{mask}: "
            + ", ".join(
                f"{row['mean_probability']:.2f} is {row['cloudy_share']:.2f}"
                for row in bins
                if row["cloudy_share"] is not None
            )
            + "."
            for mask, bins in curves.items()
        )
        pictures.append(
            Picture(
                name=f"calibration-{reference}",
                caption=f"Share of cloud in the {reference} among pixels of like probability: on "
                "the diagonal, a probability means what it says. Below, how many pixels have it.",
                alt=f"Predicted probability of cloud and its share in the {reference}. {spoken}",
                figure=draw_reliability(curves, reference),
                numbers=Table(f"Cloudy share in the {reference}", head, rows, folded=True),
            )
        )
    return [Section("calibration", "Calibration", pictures)] if pictures else []


def _agreement(report: Json) -> list[Section]:
    pairs = report["agreement"]
    if not pairs:
        return []
    masks = list(dict.fromkeys(mask for pair in pairs for mask in pair["masks"]))
    cells = {
        frozenset(pair["masks"]): (pair["agreement"]["value"], pair["kappa"]["value"])
        for pair in pairs
    }
    rows = [
        [one, other, number(agreement, 4), number(kappa, 4)]
        for (one, other), (agreement, kappa) in (
            (pair["masks"], cells[frozenset(pair["masks"])]) for pair in pairs
        )
    ]
    spoken = " ".join(f"{row[0]} and {row[1]}: {row[2]}, kappa {row[3]}." for row in rows)
    picture = Picture(
        name="agreement",
        caption="Share of pixels on which two masks agree, and below it Cohen's kappa, which takes "
        "off what chance would give.",
        alt=f"Agreement of pairs of masks. {spoken}",
        figure=draw_agreement(masks, cells),
        numbers=Table("Agreement", ["mask", "other mask", "agreement", "kappa"], rows, folded=True),
    )
    return [Section("agreement", "Agreement of the masks", [picture])]


def _score_names(masks: Json) -> list[str]:
    return list(dict.fromkeys(score for scores in masks.values() for score in scores))


def _spaced(name: str) -> str:
    return name.replace("_", " ")


def _value(estimate: Json | None) -> str:
    return UNDEFINED if estimate is None else number(estimate["value"])


def _interval(estimate: Json | None) -> str:
    if estimate is None or estimate["low"] is None:
        return UNDEFINED if estimate is None else number(estimate["value"], sign=True)
    value, low, high = (number(estimate[part], sign=True) for part in ("value", "low", "high"))
    return f"{value} ({low} to {high})"


def _percent(share: float | None) -> str:
    return UNDEFINED if share is None else f"{100 * share:.1f}"
