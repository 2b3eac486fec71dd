"""The `summarize` command: all runs, the score of each system, and scaling efficiencies."""

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from cloudmask.machine.system.file_system import IN_MEMORY
from cloudmask.mlperf.score.runs import Run, exit_code, find_logs, read_runs
from cloudmask.mlperf.score.scaling import ScalingEfficiency, scaling_efficiencies
from cloudmask.mlperf.score.scores import MOST_FAILED, RUNS, Score, scores
from cloudmask.tables import Table, counted, csv_text, interval, none_if_nan, number

FORMAT_VERSION = 1
COLUMNS = (
    *("log", "seed", "time to solution, s", "epochs", "samples", "patches/s", "accuracy"),
    *("energy, kJ", "counts"),
)
ALIGNMENT = "l" + "r" * 7 + "l"
CSV_COLUMNS = (
    *("log", "counts", "why_not", "system", "organisation", "nodes", "accelerators_per_node"),
    *("division", "dataset", "train_samples", "eval_samples", "recipe", "global_batch_size"),
    *("commit", "seed", "status", "seconds", "epochs", "samples", "patches_per_second"),
    *("accuracy", "energy_joules"),
)
# Columns that have another name than the attribute of the summary.
ATTRIBUTES = {
    **{"system": "platform", "seconds": "time_to_solution", "patches_per_second": "throughput"},
    **{"accuracy": "final_accuracy", "energy_joules": "energy"},
}
INTRODUCTION = (
    "Made by `cloudmask summarize {folders} --format markdown` from the logs themselves; "
    "docs/scores.md says what every figure means."
)


def summarize(folders: Sequence[Path], form: str) -> int:
    """Print a summary of every run in the folders, in one of `tables.FORMATS`.

    Returns:
        0, or 4 if some of the logs cannot be read, or 2 if none can; each is named.

    Raises:
        InputError: as `find_logs`.
    """
    runs = read_runs(find_logs(folders))
    if form == "csv":
        print(csv_text(CSV_COLUMNS, [list(_run_values(run).values()) for run in runs]), end="")
    elif form == "json":
        print(json.dumps(_as_json(runs), indent=2))
    else:
        print(summary_text(folders, runs, form))
    return exit_code([run.summary is not None for run in runs])


def summary_text(folders: Sequence[Path], runs: Sequence[Run], form: str) -> str:
    """The summary as 'text' or 'markdown'."""
    found, markdown = scores(runs), form == "markdown"
    parts = ["# Runs", INTRODUCTION.format(folders=" ".join(map(str, folders)))] if markdown else []
    for score in found:
        parts += [run_table(score).render(form), score_summary(score)]
    if sizes := scaling_efficiencies(found):
        parts.append(scaling_table(sizes).render(form))
    unread = [f"- {reason}" for run in runs if run.summary is None for reason in run.reasons]
    if unread:
        parts += ["## Not read" if markdown else "Not read", "\n".join(unread)]
    return "\n\n".join(parts)


def run_table(score: Score) -> Table:
    """One row for each run of a score."""
    rows = [_row(run) for run in score.runs]
    return Table(str(score.setting), COLUMNS, rows, ALIGNMENT)


def score_summary(score: Score) -> str:
    """The score in one sentence, or why there is none."""
    valid = score.valid_runs
    if score.seconds is None:
        return f"No score: none of {counted(len(score.runs), 'run')} counts."
    mean, (low, high) = score.seconds.mean, score.seconds.interval
    times = [run.time_to_solution for run in valid]
    found = f"{mean:.1f} s"
    if len(valid) > 1:
        found += (
            f" (95 % interval {interval(low, high)}; runs {interval(min(times), max(times))}, "
            f"standard deviation {score.standard_deviation:.1f})"
        )
    if score.official:
        scored = score.scored_runs
        slowest = ", of which one failed and is the slowest" if _failed(scored) else ""
        mean_of = f"the mean of {counted(len(scored), 'run')} without fastest and slowest{slowest}"
        if sets := len(valid) + score.failed - len(scored):
            numbers = ", ".join(run.path.stem for run in scored)
            mean_of += f", the median of {sets + 1} sets of consecutive runs ({numbers})"
        parts = [f"Score {found}: {mean_of}"]
    else:
        parts = [
            f"No score: {no_score_reason(score)}; mean of {counted(len(valid), 'run')}: {found}"
        ]
    parts += [f"{score.mean('epochs'):.1f} epochs", f"{score.mean('throughput'):.1f} patches/s"]
    cold = sum(run.caches_cleared for run in valid)
    if cold < len(valid):
        parts.append(f"file caches not cleared before {len(valid) - cold} of them")
    if in_memory := sum(run.data_file_system in IN_MEMORY for run in valid):
        parts.append(f"scenes held in memory, not on storage, in {in_memory} of them")
    return "; ".join(parts) + "."


def no_score_reason(score: Score) -> str:
    """Why the runs of a setting make no score."""
    if len(score.valid_runs) + score.failed >= RUNS:
        return f"{score.failed} runs failed, of each five {MOST_FAILED} may"
    return f"a score takes {counted(RUNS, 'run')}"


def _failed(runs: Sequence[Run]) -> int:
    return sum(run.failed for run in runs)


def scaling_table(sizes: Sequence[ScalingEfficiency]) -> Table:
    """The efficiency of each size."""
    rows = []
    for each in sizes:
        score, seconds = each.score, each.score.seconds
        rows.append(
            [
                *(score.setting.platform, f"{each.size}", number(score.mean("throughput"))),
                *(f"{each.throughput:.3f}", number(seconds.mean if seconds else None)),
                f"{each.solution:.3f}",
            ]
        )
    columns = ("system", "size", "patches/s", "efficiency", "seconds", "efficiency")
    return Table("Scaling, against the smallest size", columns, rows)


def _row(run: Run) -> list[str]:
    summary = run.summary
    assert summary is not None
    kilojoules = None if summary.energy is None else summary.energy / 1000
    return [
        *(str(run.path), f"{summary.seed}", number(summary.time_to_solution, 3)),
        *(f"{summary.epochs}", f"{summary.samples}", number(summary.throughput)),
        *(number(summary.final_accuracy, 4), number(kilojoules, 2)),
        "yes" if run.valid else f"no: {'; '.join(run.reasons)}",
    ]


def _run_values(run: Run) -> dict[str, Any]:
    """The values of a run by CSV column; None for all that an unreadable log does not have."""
    values = {**run.summary.hyperparameters, **vars(run.summary)} if run.summary else {}
    values |= {"log": str(run.path), "counts": run.valid, "why_not": "; ".join(run.reasons)}
    return {column: values.get(ATTRIBUTES.get(column, column)) for column in CSV_COLUMNS}


def _as_json(runs: Sequence[Run]) -> dict[str, Any]:
    found = scores(runs)
    return {
        "format": FORMAT_VERSION,
        "systems": [_score_json(score) for score in found],
        "scaling": [
            {
                "system": each.score.setting.platform,
                "size": each.size,
                "throughput_efficiency": none_if_nan(each.throughput),
                "solution_efficiency": none_if_nan(each.solution),
            }
            for each in scaling_efficiencies(found)
        ],
        "not_read": {str(run.path): run.reasons[0] for run in runs if run.summary is None},
    }


def _score_json(score: Score) -> dict[str, Any]:
    setting = asdict(score.setting)
    setting["hyperparameters"] = json.loads(setting["hyperparameters"])
    low, high = score.seconds.interval if score.seconds else (None, None)
    return {
        **setting,
        "official": score.official,
        "scored_runs": [str(run.path) for run in score.scored_runs],
        "seconds": score.seconds and score.seconds.mean,
        "low": none_if_nan(low),
        "high": none_if_nan(high),
        "standard_deviation": none_if_nan(score.standard_deviation),
        "epochs": none_if_nan(score.mean("epochs")),
        "samples": none_if_nan(score.mean("samples")),
        "patches_per_second": none_if_nan(score.mean("throughput")),
        "accuracy": none_if_nan(score.mean("final_accuracy")),
        "runs": [
            {column: none_if_nan(value) for column, value in _run_values(run).items()}
            | {"why_not": list(run.reasons)}
            for run in score.runs
        ],
    }
