"""The report of `evaluate` as plain text: tables, findings, notes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from cloudmask.science.evaluation_tables import (
    agreement_table,
    difference_table,
    interval_table,
    reliability_table,
    scene_table,
    score_table,
    strata_table,
)
from cloudmask.tables import Table, counted

Json = dict[str, Any]


def text_report(report: Json) -> str:
    """All tables of an `evaluation_report`, its findings and notes, ending with a newline."""
    parts = [f"{counted(len(report['scenes']), 'scene')}, {report['settings']['weights']}"]
    parts += [f"not used: {reason}" for reason in report["unusable"].values()]
    tables = []
    for reference, part in report["references"].items():
        tables += [
            score_table(f"against {reference}, {part['pixels']} pixels", part["masks"]),
            difference_table(f"against {reference}", part["differences"]),
            strata_table(reference, part),
        ]
        if part["reliability"]:
            tables.append(reliability_table(reference, part["reliability"]))
        tables.append(scene_table(report, reference))
    tables += [
        score_table("SST consistency, no truth needed", report["sst"]["masks"]),
        difference_table("SST consistency", report["sst"]["differences"]),
        agreement_table(report["agreement"]),
        *_match_ups(report),
    ]
    parts += [table.text() for table in tables]
    parts += ["findings", _list(report["findings"]), "notes", _list(report["notes"])]
    return "\n\n".join(parts) + "\n"


def _match_ups(report: Json) -> list[Table]:
    if (found := report.get("match_ups")) is None:
        return []
    title = f"satellite minus buoy SST, {counted(found['match_ups'], 'match-up')} of "
    title += counted(found["scenes"], "scene")
    left_out = [[reason, str(number)] for reason, number in found["left_out"].items()]
    return [
        interval_table(title, found["masks"]),
        difference_table("satellite minus buoy SST", found["differences"]),
        *([Table("match-ups left out", ["reason", "rows"], left_out)] if left_out else []),
    ]


def _list(sentences: Sequence[str]) -> str:
    return "\n".join(f"- {sentence}" for sentence in sentences)
