"""Warns of a run that converged implausibly early against the reference's convergence points.

The test is that of the official `mlperf_logging.rcp_checker`, applied to a submission of one run: a
one-sided t-test with pooled variance at 0.05, against mean and deviation of the reference's epochs,
the mean without its lowest and highest. One honest run in twenty is warned of.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from mlperf_logging.mllog import constants

from cloudmask.errors import InputError
from cloudmask.mlperf.log.run_summary import RunSummary, read_summary
from cloudmask.source import SOURCE_ROOT

# Made by `python -m benchmarks.rcps`. Upstream's names for what its checker reads, and ours for the
# data, as a point says nothing about runs on others.
POINTS = SOURCE_ROOT / "benchmarks" / "rcps_cloudmask.json"
BATCH_SIZE = "BS"
EPOCHS = "Epochs to converge"
DATASET, TRAIN_SAMPLES, EVAL_SAMPLES = "Dataset", "Train samples", "Eval samples"
TARGET = "Target accuracy"
REFERENCE = "reference"

ALPHA = 0.05


def early_convergence(path: Path, points: Path = POINTS) -> list[str]:
    """A sentence if the logged run took fewer epochs than is plausible, else nothing.

    Only runs of the reference recipe that met the target are judged, by points with their data
    set, target and batch size: another recipe may well converge earlier.
    """
    if not points.is_file():
        return []
    try:
        run = read_summary(path)
    except InputError:  # the checker says what is wrong with it
        return []
    if run.status != constants.SUCCESS or run.hyperparameters.get("recipe") != REFERENCE:
        return []
    records = json.loads(points.read_text(encoding="utf-8")).values()
    fitting = [record for record in records if _fits(record, run)]
    return [text for record in fitting if (text := _judge(run.epochs, record[EPOCHS]))]


def _fits(record: Mapping[str, Any], run: RunSummary) -> bool:
    return (
        record[BATCH_SIZE] == run.hyperparameters.get(constants.GLOBAL_BATCH_SIZE)
        and record[DATASET] == run.dataset
        and (record[TRAIN_SAMPLES], record[EVAL_SAMPLES]) == (run.train_samples, run.eval_samples)
        and record[TARGET] == run.target
    )


def _judge(epochs: int, reference: Sequence[int]) -> str:
    # Here, because few logs come this far and the check of the others should not wait for it.
    import numpy as np
    from scipy import stats

    kept = sorted(reference)[1:-1]
    mean, deviation = float(np.mean(kept)), float(np.std(reference))
    with np.errstate(divide="ignore", invalid="ignore"):  # reference runs that all took the same
        test = stats.ttest_ind_from_stats(
            epochs, 0.0, 1, mean, deviation, len(kept), equal_var=True, alternative="less"
        )
    if not test.pvalue < ALPHA:
        return ""
    return (
        f"the target was met after {epochs} epochs, implausibly early: {len(reference)} runs of "
        f"the reference took {mean:.1f} (p = {test.pvalue:.3f})"
    )
