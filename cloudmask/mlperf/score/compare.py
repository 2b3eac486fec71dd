"""The `compare` command: systems ranked within each benchmark, beside published figures."""

import json
import math
import sys
from collections.abc import Iterable, Sequence
from dataclasses import asdict, astuple, dataclass, fields
from importlib.resources import files
from itertools import groupby
from pathlib import Path

import yaml

from cloudmask.mlperf.check.foreign import is_reference_log
from cloudmask.mlperf.score.reference_logs import read_reference_log
from cloudmask.mlperf.score.runs import Run, exit_code, find_logs, read_runs
from cloudmask.mlperf.score.scores import Estimate, Score, ratio, scores
from cloudmask.mlperf.score.summarize import no_score_reason
from cloudmask.tables import Table, counted, csv_text, interval, none_if_nan, number

FORMAT_VERSION = 1
PUBLISHED_DATASET = "ds1"
NOT_RANKED = f"published figures for {PUBLISHED_DATASET}, not ranked"
PUBLISHED = "published; other data loading, other hardware"
COLUMNS = (
    *("system", "rank", "size", "runs", "seconds", "95 % interval", "epochs"),
    *("ratio to first", "95 % interval"),
)


@dataclass(frozen=True, kw_only=True)
class ComparisonRow:
    """A system, or a published figure, in a comparison.

    Only rows with the same `benchmark` are comparable, and ranked together. What is undefined or
    unknown is None.
    """

    benchmark: str  # data set with its size, division and target, in words
    dataset: str
    rank: int | None = None  # from 1; None for systems without a score and published figures
    system: str
    size: int | None  # accelerators, or nodes without accelerators
    runs: int | None  # the number of valid runs
    seconds: float | None  # the score, or the mean of too few runs for one
    low: float | None = None  # 95 % confidence interval of `seconds`
    high: float | None = None
    epochs: float | None = None
    ratio: float | None  # `seconds` over those of the first row of the benchmark
    ratio_low: float | None = None  # 95 % confidence interval of `ratio`
    ratio_high: float | None = None
    published: bool = False
    note: str


def compare(folders: Sequence[Path], form: str) -> int:
    """Print a comparison of all systems in the folders, in one of `tables.FORMATS`.

    Returns:
        0, or 4 if some of the logs cannot be read, or 2 if none can; each is named.

    Raises:
        InputError: as `find_logs`.
    """
    logs = find_logs(folders)
    ours = [path for path in logs if not is_reference_log(path)]
    runs = read_runs(ours)
    for run in runs:
        if run.summary is None:
            print(f"not read: {run.reasons[0]}", file=sys.stderr)
    rows = comparison_rows(runs)
    rows += [reference_row(path) for path in logs if path not in ours]
    if form == "csv":
        print(csv_text([x.name for x in fields(ComparisonRow)], [astuple(x) for x in rows]), end="")
    elif form == "json":
        print(json.dumps({"format": FORMAT_VERSION, "rows": [asdict(x) for x in rows]}, indent=2))
    else:
        tables = comparison_tables(rows)
        print("\n\n".join(table.render(form) for table in tables))
    theirs = [True for path in logs if path not in ours]
    return exit_code([run.summary is not None for run in runs] + theirs)


def comparison_rows(runs: Sequence[Run]) -> list[ComparisonRow]:
    """One row for each system and, at the end, one for each published figure.

    Within a benchmark, scores come first, from the fastest; systems without a score follow.
    """
    found = sorted(scores(runs), key=_sort_key)
    rows: list[ComparisonRow] = []
    best: Estimate | None = None  # on the data set of the published figures
    for _, group in groupby(found, key=lambda score: score.setting.benchmark):
        ranked = list(group)
        first = ranked[0].seconds
        rows += [_row(score, place, first) for place, score in enumerate(ranked, 1)]
        if ranked[0].setting.dataset == PUBLISHED_DATASET and first is not None:
            best = min([best or first, first], key=lambda estimate: estimate.mean)
    return rows + published_rows(best)


def published_rows(best: Estimate | None) -> list[ComparisonRow]:
    """The published figures, with their ratio to the best score on the same data set, if any."""
    text = (files("cloudmask.mlperf.score") / "published.yaml").read_text(encoding="utf-8")
    return [
        ComparisonRow(
            benchmark=NOT_RANKED,
            dataset=PUBLISHED_DATASET,
            system=entry["system"],
            size=entry.get("size"),
            runs=entry.get("runs"),
            seconds=float(entry["seconds"]) if entry.get("seconds") else None,
            ratio=entry["seconds"] / best.mean if best and entry.get("seconds") else None,
            published=True,
            note=f"{PUBLISHED}: {entry['note']} ({entry['source']})",
        )
        for entry in yaml.safe_load(text)
    ]


def reference_row(path: Path) -> ComparisonRow:
    """The row of a log of the reference implementation, beside the published figures."""
    run = read_reference_log(path)
    return ComparisonRow(
        benchmark=NOT_RANKED,
        dataset=PUBLISHED_DATASET,
        system=path.name,
        size=run.ranks or None,
        runs=1,
        seconds=None,
        ratio=None,
        published=True,
        note=f"log of the reference implementation, {run.organisation}: {run.sentence}",
    )


def comparison_tables(rows: Iterable[ComparisonRow]) -> list[Table]:
    """One table for each benchmark, and one of the published figures."""
    tables = []
    for benchmark, group in groupby(rows, key=lambda row: row.benchmark):
        members = list(group)
        lines = [
            [
                *(row.system, number(row.rank, 0), number(row.size, 0), number(row.runs, 0)),
                *(number(row.seconds), interval(row.low, row.high), number(row.epochs)),
                *(number(row.ratio, 2), interval(row.ratio_low, row.ratio_high, 2)),
            ]
            for row in members
        ]
        table = Table(benchmark, COLUMNS, lines, notes=[row.note for row in members])
        tables.append(table.without_undefined())
    return tables


def _row(score: Score, place: int, first: Estimate | None) -> ComparisonRow:
    setting, estimate = score.setting, score.seconds
    low, high = estimate.interval if estimate else (math.nan, math.nan)
    compared = ratio(estimate, first) if estimate and first and place > 1 else None
    against = compared or (1.0 if estimate else math.nan, math.nan, math.nan)
    return ComparisonRow(
        benchmark=setting.benchmark,
        dataset=setting.dataset,
        rank=place if score.official else None,
        system=setting.platform,
        size=setting.size,
        runs=len(score.valid_runs),
        seconds=estimate.mean if estimate else None,
        low=none_if_nan(low),
        high=none_if_nan(high),
        epochs=none_if_nan(score.mean("epochs")),
        ratio=none_if_nan(against[0]),
        ratio_low=none_if_nan(against[1]),
        ratio_high=none_if_nan(against[2]),
        note=_note(score),
    )


def _note(score: Score) -> str:
    setting = score.setting
    notes = [f"{setting.recipe} recipe, commit {setting.commit[:8]}"]
    if not score.official:
        notes.append(f"no score: {no_score_reason(score)}")
    left_out = len(score.runs) - len(score.valid_runs)
    if left_out:
        notes.append(f"left out: {left_out} of {counted(len(score.runs), 'run')}")
    return "; ".join(notes)


def _sort_key(score: Score) -> tuple[str, bool, float]:
    seconds = score.seconds.mean if score.seconds else math.inf
    return score.setting.benchmark, not score.official, seconds
