"""RCP check: warns of a run that converged too early against the reference convergence points.

The test is that of the official `mlperf_logging.rcp_checker`, applied to one run: a one-sided
t-test with pooled variance at 0.05. As there, the mean of the reference runs is without the lowest
and the highest; their standard deviation is of all. One valid run in twenty gets the warning.
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from mlperf_logging.mllog import constants

from cloudmask.errors import InputError
from cloudmask.mlperf.log.run_summary import RunSummary, read_summary
from cloudmask.source import SOURCE_ROOT

# Written by `python -m benchmarks.rcps`. The official checker reads BS and epochs; the data set,
# its size and the target are ours, as a point is only valid for runs with the same.
POINTS = SOURCE_ROOT / "benchmarks" / "rcps_cloudmask.json"
BATCH_SIZE = "BS"
EPOCHS = "Epochs to converge"
DATASET, TRAIN_SAMPLES, EVAL_SAMPLES = "Dataset", "Train samples", "Eval samples"
TARGET = "Target accuracy"
REFERENCE = "reference"

ALPHA = 0.05


def early_convergence(path: Path, points: Path = POINTS) -> list[str]:
    """A warning if the logged run took implausibly few epochs to the target, else nothing.

    Applies to successful runs of the reference recipe, as other recipes may converge earlier.
    """
    if not points.is_file():
        return []
    try:
        run = read_summary(path)
    except InputError:  # the official checker reports what is wrong
        return []
    if run.status != constants.SUCCESS or run.hyperparameters.get("recipe") != REFERENCE:
        return []
    records = json.loads(points.read_text(encoding="utf-8")).values()
    warnings = []
    for epochs in (record[EPOCHS] for record in records if _applies(record, run)):
        p, mean = p_value(run.epochs, epochs), _olympic_mean(epochs)
        if p < ALPHA:
            warnings.append(
                f"the target was met after {run.epochs} epochs, implausibly early: {len(epochs)} "
                f"runs of the reference took {mean:.1f} (p = {p:.3f})"
            )
    return warnings


def p_value(epochs: int, reference: Sequence[int]) -> float:
    """Probability that a run like the reference's takes at most so many epochs.

    Of reference runs that all took the same, NaN for that number of epochs.
    """
    # Imported here because few logs need them, and their import takes a second.
    import numpy as np
    from scipy import stats

    with np.errstate(divide="ignore", invalid="ignore"):  # a standard deviation of 0
        test = stats.ttest_ind_from_stats(
            *(epochs, 0.0, 1),
            *(_olympic_mean(reference), float(np.std(reference)), len(reference) - 2),
            equal_var=True,
            alternative="less",
        )
    return float(test.pvalue)


def _olympic_mean(epochs: Sequence[int]) -> float:
    kept = sorted(epochs)[1:-1]
    return sum(kept) / len(kept)


def _applies(record: Mapping[str, Any], run: RunSummary) -> bool:
    return (
        record[BATCH_SIZE] == run.hyperparameters.get(constants.GLOBAL_BATCH_SIZE)
        and record[DATASET] == run.dataset
        and (record[TRAIN_SAMPLES], record[EVAL_SAMPLES]) == (run.train_samples, run.eval_samples)
        and record[TARGET] == run.target
    )
