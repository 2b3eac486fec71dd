"""What one run came to: a few numbers read from its log, and the lines that end a timed run."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mlperf_logging.mllog import constants

from cloudmask.errors import InputError
from cloudmask.mlperf.log.lines import LogLine, plausible, read_lines

EVAL_WBCE = "eval_wbce"
TARGET_ACCURACY = "target_accuracy"
DATASET = "dataset"
FAULT = "fault"  # the run did not come to its own end, even if it had stopped its clock
CONFIGURATION = "configuration"
UNKNOWN = "unknown"

# What decides how fast a run converges, besides its data and its seed.
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
        nodes: nodes of the run; 0 if not logged, as with the counts that follow.
        accelerators_per_node: 0 also on a system without accelerators.
        train_samples, eval_samples: patches of the training and the validation set.
        hyperparameters: value by key, of the `HYPERPARAMETERS` that were logged.
        configuration: every parameter of the run but those that name places; empty in logs that
            do not carry it.
        reason: why an aborted run stopped, or ''.
        started: milliseconds since 1970 at run_start.
        throughput: training patches per second, over the epochs and nothing else; NaN without any.
        caches_cleared: whether the file caches were empty at run_start.
        resumed: whether the run went on from a checkpoint.
        profiled: whether a profiler ran in its first epoch.
        energy: joules that the run took, of what was measured; None if nothing was.
        power: mean watts of the same; None likewise.
        result: the scientific result; empty if the run did not get that far.
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
    """The outcome of the run that is logged in the file.

    The log need not satisfy the official checker: an aborted run has a summary too.

    Raises:
        InputError: the file cannot be read, or lacks an event that the summary is made of.
    """
    events = _Events(path)
    run_stop, run_start = events.only(constants.RUN_STOP), events.only(constants.RUN_START)
    stopped = run_stop["metadata"] or {}
    epochs = len(events.all(constants.EPOCH_STOP))
    train_samples = events.number(constants.TRAIN_SAMPLES)
    milliseconds = run_stop["time_ms"] - run_start["time_ms"]
    logged = {key: events.last(key) for key in HYPERPARAMETERS}
    return RunSummary(
        path=path,
        seed=int(events.number(constants.SEED)),
        status=constants.ABORTED
        if events.all(FAULT)
        else str(stopped.get(constants.STATUS, UNKNOWN)),
        time_to_solution=milliseconds / 1000,
        epochs=epochs,
        samples=int(train_samples) * epochs,
        final_accuracy=events.last_number(constants.EVAL_ACCURACY),
        final_wbce=events.last_number(EVAL_WBCE),
        target=events.number(TARGET_ACCURACY),
        division=str(events.only(constants.SUBMISSION_DIVISION)["value"]),
        dataset=str(events.only(DATASET)["value"]),
        platform=str(events.only(constants.SUBMISSION_PLATFORM)["value"]),
        organisation=str(events.last(constants.SUBMISSION_ORG) or UNKNOWN),
        commit=str(events.last("submission_github_commit_version") or UNKNOWN),
        nodes=events.count("number_of_nodes"),
        accelerators_per_node=events.count("accelerators_per_node"),
        train_samples=int(train_samples),
        eval_samples=events.count(constants.EVAL_SAMPLES),
        hyperparameters={key: value for key, value in logged.items() if value is not None},
        configuration=events.mapping(CONFIGURATION),
        reason=str(stopped.get("reason") or events.last(FAULT) or ""),
        started=int(run_start["time_ms"]),
        throughput=events.throughput(train_samples),
        caches_cleared=events.last(constants.CACHE_CLEAR) is True,
        resumed=bool(events.all("resumed")),
        profiled=events.last("profiled") is True,
        energy=events.energy(),
        power=events.power(),
        result=events.mapping("result"),
    )


def result_lines(summary: RunSummary, end_to_end_seconds: int, user: str, start: str) -> list[str]:
    """The lines that end a timed run: one per figure, and last the RESULT line.

    `end_to_end_seconds` are the wall seconds between STARTING TIMING RUN and ENDING TIMING RUN;
    `start` is the time of the former, e.g. '2026-11-22 09:15:02 PM'. The RESULT line has the
    form of vendor submissions: RESULT,NAME,SEED,SECONDS,USER,START.
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


class _Events:
    """The events of one log by key."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._by_key: dict[str, list[dict[str, Any]]] = {}
        for line in read_lines(path):
            record = self._checked(line)
            self._by_key.setdefault(record["key"], []).append(record)

    def all(self, key: str) -> list[dict[str, Any]]:
        return self._by_key.get(key, [])

    def only(self, key: str) -> dict[str, Any]:
        records = self.all(key)
        if len(records) != 1:
            raise InputError(
                f"{self._path}: '{key}' occurs {len(records)} times, expected once; "
                "give the log of one whole run."
            )
        return records[0]

    def last(self, key: str) -> Any:
        records = self.all(key)
        return records[-1]["value"] if records else None

    def mapping(self, key: str) -> dict[str, Any]:
        value = self.last(key)
        return value if isinstance(value, dict) else {}

    def energy(self) -> float | None:
        readings = self.all(constants.POWER_READING)
        joules = (readings[-1]["metadata"] or {}).get("joules") if readings else None
        return None if joules is None else self._as_number(constants.POWER_READING, joules)

    def power(self) -> float | None:
        watts = self.last(constants.POWER_READING)
        return None if watts is None else self._as_number(constants.POWER_READING, watts)

    def throughput(self, samples_per_epoch: float) -> float:
        stops = self.all(constants.EPOCH_STOP)
        starts = self.all(constants.EPOCH_START)[: len(stops)]
        milliseconds = sum(x["time_ms"] for x in stops) - sum(x["time_ms"] for x in starts)
        return (
            samples_per_epoch * len(stops) / milliseconds * 1000 if milliseconds > 0 else math.nan
        )

    def number(self, key: str) -> float:
        return self._finite(key, self.only(key)["value"])

    def count(self, key: str) -> int:
        value = self.last(key)
        return 0 if value is None else int(self._finite(key, value))

    def last_number(self, key: str) -> float:
        records = self.all(key)
        return self._as_number(key, records[-1]["value"]) if records else math.nan

    def _finite(self, key: str, value: Any) -> float:
        number = self._as_number(key, value)
        if not math.isfinite(number):
            raise InputError(f"{self._path}: '{key}' is {value!r}, expected a number.")
        return number

    def _as_number(self, key: str, value: Any) -> float:
        try:
            return float(value)
        except (TypeError, ValueError, OverflowError) as error:
            raise InputError(f"{self._path}: '{key}' is {value!r}, expected a number.") from error

    def _checked(self, line: LogLine) -> dict[str, Any]:
        record = line.record
        if (
            record is None
            or not isinstance(record["key"], str)
            or not plausible(record["time_ms"])
            or not isinstance(record["metadata"], dict | None)
        ):
            raise InputError(f"{self._path}: line {line.number} is not a valid MLLOG line.")
        return record


def _figure(value: float) -> str:
    return "none" if math.isnan(value) else f"{value:.4f}"
