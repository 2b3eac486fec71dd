"""The summary of a run, read from its log, and the lines printed at the end of a timed run."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mlperf_logging.mllog import constants

from cloudmask.errors import InputError
from cloudmask.mlperf.log.events import EventLog

EVAL_WBCE = "eval_wbce"
TARGET_ACCURACY = "target_accuracy"
DATASET = "dataset"
FAULT = "fault"  # the run was ended by a fault, even if after run_stop
CONFIGURATION = "configuration"
UNKNOWN = "unknown"

# Parameters that affect convergence, besides data and seed.
HYPERPARAMETERS = (
    constants.GLOBAL_BATCH_SIZE,
    constants.GRADIENT_ACCUMULATION_STEPS,
    "patch_size",
    "recipe",
    "precision",
    "positive_weight",
    "augment",
    constants.MODEL_EVAL_EMA_FACTOR,
    constants.OPT_NAME,
    constants.OPT_BASE_LR,
    "opt_kernel_learning_rate",
    "opt_kernel_momentum",
    constants.OPT_ADAM_BETA_1,
    constants.OPT_ADAM_BETA_2,
    constants.OPT_ADAM_EPSILON,
    constants.OPT_WEIGHT_DECAY,
    constants.OPT_LR_WARMUP_EPOCHS,
    "opt_learning_rate_schedule",
)


@dataclass(frozen=True)
class RunSummary:
    """The outcome of one run.

    Attributes:
        path: the log it was read from.
        seed: the seed of the run.
        status: 'success' (the target was met) or 'aborted'.
        time_to_solution: seconds from run_start to run_stop, whatever the status.
        epochs: finished epochs.
        samples: training patches seen, train_samples x epochs.
        final_accuracy: the last eval_accuracy; NaN if no evaluation took place.
        final_wbce: the last eval_wbce, weighted binary cross entropy; NaN likewise.
        target: the validation accuracy to reach.
        division: 'open' or 'closed'.
        dataset: 'ds1', 'ds2', 'synthetic' or 'custom'.
        platform: submission_platform, the name of the system.
        organisation: submission_org.
        commit: of the source, with '-dirty' where files differed from it, or 'unknown'.
        nodes: nodes of the run; 0 if not logged, as for the following counts.
        accelerators_per_node: 0 also on a system without accelerators.
        train_samples, eval_samples: patches of the training and the validation set.
        hyperparameters: value by key, of the `HYPERPARAMETERS` that were logged.
        configuration: all parameters but those of a single run, such as paths; empty if not
            logged.
        reason: why an aborted run stopped; '' if it did not.
        started: milliseconds since 1970 at run_start.
        throughput: training patches per second within the epochs; NaN without any.
        caches_cleared: whether the page caches were dropped before run_start.
        resumed: whether the run was resumed from a checkpoint.
        profiled: whether a profiler ran in the first epoch.
        energy: joules of the measured devices; None if not measured.
        power: mean watts of the same.
        result: the scientific result; empty if not logged.
    """

    path: Path
    seed: int
    status: str
    time_to_solution: float
    epochs: int
    samples: int
    final_accuracy: float
    final_wbce: float
    target: float
    division: str
    dataset: str
    platform: str
    organisation: str
    commit: str
    nodes: int
    accelerators_per_node: int
    train_samples: int
    eval_samples: int
    hyperparameters: Mapping[str, Any]
    configuration: Mapping[str, Any]
    reason: str
    started: int
    throughput: float
    caches_cleared: bool
    resumed: bool
    profiled: bool
    energy: float | None
    power: float | None
    result: Mapping[str, Any]


def read_summary(path: Path) -> RunSummary:
    """Read the summary of the run in a log, whether `check` would accept it or not.

    Raises:
        InputError: the file cannot be read, or an event of the summary is missing or invalid.
    """
    events = EventLog(path)
    run_stop, run_start = events.only(constants.RUN_STOP), events.only(constants.RUN_START)
    status = run_stop.metadata(constants.STATUS) or UNKNOWN
    epochs = len(events.all(constants.EPOCH_STOP))
    train_samples = _single_number(events, constants.TRAIN_SAMPLES)
    epoch_seconds = events.total_seconds(constants.EPOCH_START, constants.EPOCH_STOP) or 0.0
    logged = {key: events.last_value(key) for key in HYPERPARAMETERS}
    energy, power = _power_reading(events)
    return RunSummary(
        path=path,
        seed=int(_single_number(events, constants.SEED)),
        status=constants.ABORTED if events.all(FAULT) else str(status),
        time_to_solution=(run_stop.record["time_ms"] - run_start.record["time_ms"]) / 1000,
        epochs=epochs,
        samples=int(train_samples) * epochs,
        final_accuracy=_last_number(events, constants.EVAL_ACCURACY),
        final_wbce=_last_number(events, EVAL_WBCE),
        target=_single_number(events, TARGET_ACCURACY),
        division=str(events.only(constants.SUBMISSION_DIVISION).value),
        dataset=str(events.only(DATASET).value),
        platform=str(events.only(constants.SUBMISSION_PLATFORM).value),
        organisation=str(events.last_value(constants.SUBMISSION_ORG) or UNKNOWN),
        commit=str(events.last_value("submission_github_commit_version") or UNKNOWN),
        nodes=_count(events, "number_of_nodes"),
        accelerators_per_node=_count(events, "accelerators_per_node"),
        train_samples=int(train_samples),
        eval_samples=_count(events, constants.EVAL_SAMPLES),
        hyperparameters={key: value for key, value in logged.items() if value is not None},
        configuration=_dictionary(events, CONFIGURATION),
        reason=str(run_stop.metadata("reason") or events.last_value(FAULT) or ""),
        started=int(run_start.record["time_ms"]),
        throughput=train_samples * epochs / epoch_seconds if epoch_seconds > 0 else math.nan,
        caches_cleared=events.last_value(constants.CACHE_CLEAR) is True,
        resumed=bool(events.all("resumed")),
        profiled=events.last_value("profiled") is True,
        energy=energy,
        power=power,
        result=_dictionary(events, "result"),
    )


def result_lines(summary: RunSummary, end_to_end_seconds: int, user: str, start: str) -> list[str]:
    """The last lines of a timed run: its figures and the RESULT line.

    Args:
        end_to_end_seconds: wall time between STARTING TIMING RUN and ENDING TIMING RUN.
        start: time of STARTING TIMING RUN, e.g. '2026-11-22 09:15:02 PM'.

    The RESULT line has the form of vendor submissions: RESULT,NAME,SEED,SECONDS,USER,START.
    """
    seconds = f"{summary.time_to_solution:.3f} s"
    if summary.status != constants.SUCCESS:
        seconds = f"none: {summary.status} after {seconds}"
    figures = {
        "time to solution": seconds,
        "end to end": f"{end_to_end_seconds} s",
        "epochs": f"{summary.epochs}",
        "samples": f"{summary.samples}",
        "final accuracy": f"{_figure(summary.final_accuracy)} "
        f"(target {summary.target:g}, {summary.dataset} data)",
        "final WBCE": _figure(summary.final_wbce),
    }
    lines = [f"{label:<16}  {value}" for label, value in figures.items()]
    return [*lines, f"RESULT,CLOUDMASK,{summary.seed},{end_to_end_seconds},{user},{start}"]


def _single_number(events: EventLog, key: str) -> float:
    return _finite(events, key, events.only(key).value)


def _count(events: EventLog, key: str) -> int:
    value = events.last_value(key)
    return 0 if value is None else int(_finite(events, key, value))


def _last_number(events: EventLog, key: str) -> float:
    logged = events.all(key)
    return _as_float(events, key, logged[-1].value) if logged else math.nan


def _dictionary(events: EventLog, key: str) -> dict[str, Any]:
    value = events.last_value(key)
    return value if isinstance(value, dict) else {}


def _power_reading(events: EventLog) -> tuple[float | None, float | None]:
    """Joules and mean watts of the last reading; None for what was not logged."""
    key = constants.POWER_READING
    reading = next(reversed(events.all(key)), None)
    joules, watts = (reading.metadata("joules"), reading.value) if reading else (None, None)
    return (
        None if joules is None else _as_float(events, key, joules),
        None if watts is None else _as_float(events, key, watts),
    )


def _finite(events: EventLog, key: str, value: Any) -> float:
    number = _as_float(events, key, value)
    if not math.isfinite(number):
        raise InputError(f"{events.path}: '{key}' is {value!r}, expected a number.")
    return number


def _as_float(events: EventLog, key: str, value: Any) -> float:
    try:
        return float(value)
    except (TypeError, ValueError, OverflowError) as error:
        raise InputError(f"{events.path}: '{key}' is {value!r}, expected a number.") from error


def _figure(value: float) -> str:
    return "none" if math.isnan(value) else f"{value:.4f}"
