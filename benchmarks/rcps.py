"""Reference convergence points, in the format of the official RCP checker, from logs of real runs.

    python -m benchmarks.rcps LOGDIR [LOGDIR ...] --output benchmarks/rcps_cloudmask.json

Runs are grouped by global batch size, each group one point. Every log in the folders must count,
and be of the reference recipe, at least 10 to a point: a run left out because it converged late
would shift the point.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from cloudmask.errors import EXIT_INPUT, InputError
from cloudmask.mlperf.check import rcp
from cloudmask.mlperf.score.runs import Run, find_logs, read_runs
from cloudmask.mlperf.score.scores import Score, scores

# The official checker wants twice the runs of a submission.
FEWEST_RUNS = 10


def points(runs: Sequence[Run]) -> dict[str, Any]:
    """One record for each batch size of the runs, by its name.

    Raises:
        InputError: names every run that cannot be part of a point, and every group too small.
    """
    problems = [f"{run.path}: {reason}" for run in runs for reason in run.reasons]
    groups = scores(runs)
    records: dict[str, Any] = {}
    for group in groups:
        setting = group.setting
        name = f"cloudmask_{setting.dataset}_ref_{_batch_size(group)}"
        if setting.recipe != rcp.REFERENCE:
            problems.append(f"{setting}: not the {rcp.REFERENCE} recipe")
        elif len(group.valid_runs) < FEWEST_RUNS:
            problems.append(f"{setting}: {len(group.valid_runs)} runs, a point takes {FEWEST_RUNS}")
        elif name in records:
            problems.append(f"{setting}: runs of one batch size that differ in more than seed")
        else:
            records[name] = _record(group)
    if problems:
        raise InputError("no points can be made of these logs:\n  " + "\n  ".join(problems))
    return records


def _record(group: Score) -> dict[str, Any]:
    setting = group.setting
    began = min(run.started for run in group.valid_runs) / 1000
    return {
        "Benchmark": "cloudmask",
        "Creator": setting.organisation,
        "When": datetime.fromtimestamp(began, timezone.utc).strftime("%Y-%m-%d"),
        "Platform": setting.platform,
        "Commit": setting.commit,
        rcp.DATASET: setting.dataset,
        rcp.TRAIN_SAMPLES: setting.train_samples,
        rcp.EVAL_SAMPLES: setting.eval_samples,
        rcp.TARGET: setting.target,
        rcp.BATCH_SIZE: _batch_size(group),
        "Hyperparams": json.loads(setting.hyperparameters),
        "Seeds": [run.seed for run in group.valid_runs],
        rcp.EPOCHS: [run.epochs for run in group.valid_runs],
    }


def _batch_size(group: Score) -> int:
    return int(json.loads(group.setting.hyperparameters)["global_batch_size"])


def main() -> int:
    """Make the points of some folders and write them; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("folders", type=Path, nargs="+", metavar="LOGDIR")
    parser.add_argument("--output", type=Path, required=True)
    options = parser.parse_args()
    try:
        records = points(read_runs(find_logs(options.folders)))
    except InputError as error:
        print(f"benchmarks.rcps: error: {error}", file=sys.stderr)
        return EXIT_INPUT
    options.output.write_text(json.dumps(records, indent=2) + "\n", encoding="utf-8")
    for name, record in records.items():
        print(f"{name}: epochs {record[rcp.EPOCHS]}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
