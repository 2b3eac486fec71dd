"""The sections about an evaluation: findings, accuracy by scene, calibration, agreement."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from cloudmask.errors import InputError
from cloudmask.report.blocks import Block, FigureBlock, Section, TableBlock, sensing_start
from cloudmask.report.evaluation_figures import draw_agreement, draw_reliability, draw_scenes
from cloudmask.science.cloud_masks import LABEL, TRUTH
from cloudmask.science.command import JSON_NAME
from cloudmask.science.evaluation_report import FORMAT
from cloudmask.science.evaluation_tables import (
    agreement_table,
    difference_table,
    reliability_table,
    scene_table,
    score_table,
    strata_table,
)
from cloudmask.tables import counted

Json = dict[str, Any]

EVALUATION_TITLE = "Is the network better than Bayesian?"
REFERENCES = (TRUTH, LABEL)
HOW_TO_EVALUATE = (
    "No evaluation was given, so accuracy by scene, calibration and other masks are not shown. "
    "Run “cloudmask evaluate --weights … --scenes … --training-scenes … --output "
    "evaluation”, then give “--evaluation evaluation”."
)


def read_evaluation(path: Path) -> Json:
    """The report that `evaluate` wrote, from its JSON file or the folder of that file.

    Raises:
        InputError: there is no such file, or it has another format.
    """
    file = path / JSON_NAME if path.is_dir() else path
    advice = f"give the {JSON_NAME} that evaluate --output writes"
    try:
        report = json.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(f"--evaluation {file}: {error.strerror}: {advice}") from error
    except ValueError as error:
        raise InputError(f"--evaluation {file} is not JSON ({error}): {advice}") from error
    if not isinstance(report, dict) or report.get("format") != FORMAT:
        raise InputError(f"--evaluation {file} is not of the format {FORMAT}: evaluate again")
    return report


def evaluation_sections(report: Json) -> list[Section]:
    """Sections of findings, scores by scene, calibration and agreement.

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
            f"the evaluation lacks a part that the report shows ({error}): evaluate again"
        ) from error


def _findings(report: Json) -> Section:
    blocks: list[Block] = [
        f"{counted(len(report['scenes']), 'scene')}, weights {report['settings']['weights']}.",
        *(f"Not used: {reason}" for reason in report["unusable"].values()),
        *report["findings"],
    ]
    parts = [
        (name, report["references"][name]) for name in REFERENCES if name in report["references"]
    ]
    for reference, part in parts:
        title = f"Against {reference}, {part['pixels']} pixels"
        table = score_table(title, part["masks"], leave_out=("precision", "wbce"))
        blocks.append(TableBlock(table))
    blocks.append(
        TableBlock(score_table("SST consistency, no truth needed", report["sst"]["masks"]))
    )
    for reference, part in parts:
        differences = difference_table(f"against {reference}", part["differences"])
        blocks += [
            TableBlock(differences, collapsed=True),
            TableBlock(strata_table(reference, part), collapsed=True),
        ]
    blocks += report["notes"]
    return Section("evaluation", EVALUATION_TITLE, blocks)


def _scenes(report: Json) -> list[Section]:
    """Accuracy of every mask in every scene, against truth or, without it, the label."""
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
    ranges = [
        f"{mask}: {min(values):.3f} to {max(values):.3f}."
        for mask in masks
        if (values := [scores[mask] for _, scores in accuracies if mask in scores])
    ]
    figure = FigureBlock(
        name="scenes",
        caption=f"Accuracy of each mask against the {reference}; scenes by start of sensing.",
        alt=f"Accuracy against {reference} of {counted(len(accuracies), 'scene')}, "
        "lowest to highest. " + " ".join(ranges),
        figure=draw_scenes(accuracies, masks),
        numbers=scene_table(report, reference, sensing_start),
    )
    return [Section("scenes", "Accuracy by scene", [figure])]


def _calibration(report: Json) -> list[Section]:
    figures: list[Block] = []
    for reference in REFERENCES:
        curves = report["references"].get(reference, {}).get("reliability")
        if not curves:
            continue
        points = " ".join(
            f"{mask}: "
            + ", ".join(
                f"{row['mean_probability']:.2f} is {row['cloudy_share']:.2f}"
                for row in bins
                if row["cloudy_share"] is not None
            )
            + "."
            for mask, bins in curves.items()
        )
        figures.append(
            FigureBlock(
                name=f"calibration-{reference}",
                caption=f"Reliability diagram: cloudy share in the {reference} by probability of "
                "cloud. On the diagonal the probability is calibrated. Below: pixels by bin.",
                alt=f"Probability of cloud and cloudy share in the {reference}. {points}",
                figure=draw_reliability(curves, reference),
                numbers=reliability_table(reference, curves),
            )
        )
    return [Section("calibration", "Calibration", figures)] if figures else []


def _agreement(report: Json) -> list[Section]:
    pairs = report["agreement"]
    if not pairs:
        return []
    masks = list(dict.fromkeys(mask for pair in pairs for mask in pair["masks"]))
    cells = {
        frozenset(pair["masks"]): (pair["agreement"]["value"], pair["kappa"]["value"])
        for pair in pairs
    }
    table = agreement_table(pairs)
    words = " ".join(
        f"{one} and {other}: {share}, kappa {kappa}." for one, other, share, kappa in table.rows
    )
    figure = FigureBlock(
        name="agreement",
        caption="Share of pixels on which two masks agree, above Cohen's kappa, which corrects it "
        "for chance.",
        alt=f"Agreement of pairs of masks. {words}",
        figure=draw_agreement(masks, cells),
        numbers=table,
    )
    return [Section("agreement", "Agreement of the masks", [figure])]
