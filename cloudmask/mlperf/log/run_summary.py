"""The summary of a run, read from its log, and the lines printed at the end of a timed run."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mlperf_logging.mllog import constants

from cloudmask.mlperf.log.events import EventLog
from cloudmask.tables import none_if_nan

EVAL_WBCE = "eval_wbce"
TARGET_ACCURACY = "target_accuracy"
DATASET = "dataset"
FAULT = "fault"  # the run was ended by a fault, even if after run_stop
CONFIGURATION = "configuration"
SYSTEM_DESCRIPTION = "system_description"
DATA_FILE_SYSTEM = "data_file_system"
MEANING = "meaning"  # of the names in the result
UNKNOWN = "unknown"
UNFINISHED = "unfinished"

# Parameters that affect convergence, besides data and seed.
HYPERPARAMETERS = (
    *(constants.GLOBAL_BATCH_SIZE, constants.GRADIENT_ACCUMULATION_STEPS),
    *("patch_size", "recipe", "precision", "positive_weight", "augment", "hole_share"),
    *(constants.MODEL_EVAL_EMA_FACTOR, constants.OPT_NAME, constants.OPT_BASE_LR),
    *("opt_kernel_learning_rate", "opt_kernel_momentum"),
    *(constants.OPT_ADAM_BETA_1, constants.OPT_ADAM_BETA_2, constants.OPT_ADAM_EPSILON),
    *(constants.OPT_WEIGHT_DECAY, constants.OPT_LR_WARMUP_EPOCHS, "opt_learning_rate_schedule"),
)


@dataclass(frozen=True)
class RunSummary:
    """The outcome and the setting of one run."""

    path: Path  # of the log
    seed: int
    status: str  # 'success' (the target was met), 'aborted', or 'unfinished' without run_stop
    time_to_solution: float  # seconds from run_start to run_stop or the last event, in any case
    epochs: int  # finished epochs
    samples: int  # training patches seen, train_samples x epochs
    final_accuracy: float  # the last eval_accuracy; NaN without evaluation
    final_wbce: float  # the last eval_wbce, weighted binary cross entropy; NaN likewise
    target: float  # validation accuracy
    division: str  # 'open' or 'closed'
    dataset: str  # 'ds1', 'ds2', 'synthetic', 'twin' or 'custom'
    platform: str  # submission_platform, the name of the system
    organisation: str  # submission_org
    version: str  # of CloudMask, or 'unknown'
    commit: str  # of the source, with '-dirty' if files differed from it, or 'unknown'
    nodes: int  # 0 if not logged, as for the following counts
    accelerators_per_node: int  # 0 also on a system without accelerators
    machines: Sequence[Mapping[str, Any]]  # descriptions of different nodes; empty if not logged
    data_file_system: str  # type of that of DATADIR, as 'nfs4' or 'tmpfs'; '' if not logged
    train_samples: int
    eval_samples: int
    hyperparameters: Mapping[str, Any]  # those of `HYPERPARAMETERS` that were logged, by key
    configuration: Mapping[str, Any]  # parameters, without those of one run; {} if not logged
    reason: str  # why an aborted run stopped, or ''
    started: int  # milliseconds since 1970 at run_start
    throughput: float  # training patches per second within the epochs; NaN without any
    caches_cleared: bool  # whether the page caches were dropped before run_start
    resumed: bool  # from a checkpoint
    profiled: bool  # in the first epoch
    energy: float | None  # joules of the measured devices; None if not measured
    power: float | None  # mean watts of the same
    result: Mapping[str, Any]  # the scientific result, without `MEANING`; {} if not logged
    result_meaning: Mapping[str, str]  # what each name in it means; {} if not logged


def read_summary(path: Path) -> RunSummary:
    """Read the summary of the run in a log, whether `check` would accept it or not.

    A log that ends without run_stop is of a run that was killed, or that goes on.

    Raises:
        InputError: the file cannot be read, or an event of the summary is missing or invalid.
    """
    events = EventLog(path)
    run_start = events.only(constants.RUN_START)
    if events.all(constants.RUN_STOP):
        end = events.only(constants.RUN_STOP)
        status = str(end.metadata(constants.STATUS) or UNKNOWN)
        reason = end.metadata("reason")
    else:
        end, status = events.latest, UNFINISHED
        reason = "the log ends without run_stop: the run was killed, or it goes on"
    epochs = len(events.all(constants.EPOCH_STOP))
    train_samples = events.only_number(constants.TRAIN_SAMPLES)
    epoch_seconds = events.total_seconds(constants.EPOCH_START, constants.EPOCH_STOP) or 0.0
    logged = {key: events.last_value(key) for key in HYPERPARAMETERS}
    result = events.last_dictionary("result")
    reading = events.last(constants.POWER_READING)
    joules, watts = (reading.metadata("joules"), reading.value) if reading else (None, None)
    return RunSummary(
        path=path,
        seed=int(events.only_number(constants.SEED)),
        status=constants.ABORTED if events.all(FAULT) else status,
        time_to_solution=(end.record["time_ms"] - run_start.record["time_ms"]) / 1000,
        epochs=epochs,
        samples=int(train_samples) * epochs,
        final_accuracy=events.last_float(constants.EVAL_ACCURACY),
        final_wbce=events.last_float(EVAL_WBCE),
        target=events.only_number(TARGET_ACCURACY),
        division=str(events.only(constants.SUBMISSION_DIVISION).value),
        dataset=str(events.only(DATASET).value),
        platform=str(events.only(constants.SUBMISSION_PLATFORM).value),
        organisation=str(events.last_value(constants.SUBMISSION_ORG) or UNKNOWN),
        version=str(events.last_value("implementation_version") or UNKNOWN),
        commit=str(events.last_value("submission_github_commit_version") or UNKNOWN),
        nodes=events.last_count("number_of_nodes"),
        accelerators_per_node=events.last_count("accelerators_per_node"),
        machines=[x.value for x in events.all(SYSTEM_DESCRIPTION) if isinstance(x.value, dict)],
        data_file_system=str(events.last_value(DATA_FILE_SYSTEM) or ""),
        train_samples=int(train_samples),
        eval_samples=events.last_count(constants.EVAL_SAMPLES),
        hyperparameters={key: value for key, value in logged.items() if value is not None},
        configuration=events.last_dictionary(CONFIGURATION),
        reason=str(reason or events.last_value(FAULT) or ""),
        started=int(run_start.record["time_ms"]),
        throughput=train_samples * epochs / epoch_seconds if epoch_seconds > 0 else math.nan,
        caches_cleared=events.last_value(constants.CACHE_CLEAR) is True,
        resumed=bool(events.all("resumed")),
        profiled=events.last_value("profiled") is True,
        energy=None if joules is None else events.as_float(constants.POWER_READING, joules),
        power=None if watts is None else events.as_float(constants.POWER_READING, watts),
        result={key: value for key, value in result.items() if key != MEANING},
        result_meaning=meaning if isinstance(meaning := result.get(MEANING), dict) else {},
    )


def result_lines(summary: RunSummary, end_to_end_seconds: int, user: str, start: str) -> list[str]:
    """The last lines of a timed run: its figures and the RESULT line.

    Args:
        end_to_end_seconds: wall time between STARTING TIMING RUN and ENDING TIMING RUN.
        start: time of STARTING TIMING RUN, e.g. '2026-11-22T21:15:02+0100'.

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


def result_figures(
    summary: RunSummary, end_to_end_seconds: int, user: str, start: str
) -> dict[str, Any]:
    """The same as `result_lines`, by name; what a run does not have is None."""
    return {
        "log": str(summary.path),
        "status": summary.status,
        "time_to_solution": summary.time_to_solution,
        "end_to_end": end_to_end_seconds,
        "epochs": summary.epochs,
        "samples": summary.samples,
        "final_accuracy": none_if_nan(summary.final_accuracy),
        "target_accuracy": summary.target,
        "final_wbce": none_if_nan(summary.final_wbce),
        "dataset": summary.dataset,
        "seed": summary.seed,
        "user": user,
        "start": start,
    }


def _figure(value: float) -> str:
    return "none" if math.isnan(value) else f"{value:.4f}"
