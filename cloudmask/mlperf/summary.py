"""What one run came to: a few numbers read from its log, and the lines that end a timed run."""

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mlperf_logging.mllog import constants

from cloudmask.errors import InputError
from cloudmask.mlperf.log_lines import LogLine, read_lines

EVAL_WBCE = "eval_wbce"
TARGET_ACCURACY = "target_accuracy"
DATASET = "dataset"
FAULT = "fault"  # the run did not come to its own end, even if it had stopped its clock


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


def read_summary(path: Path) -> RunSummary:
    """The outcome of the run that is logged in the file.

    The log need not satisfy the official checker: an aborted run has a summary too.

    Raises:
        InputError: the file cannot be read, or lacks an event that the summary is made of.
    """
    events = _Events(path)
    run_stop = events.only(constants.RUN_STOP)
    epochs = len(events.all(constants.EPOCH_STOP))
    samples = events.number(constants.TRAIN_SAMPLES) * epochs if epochs else 0
    milliseconds = run_stop["time_ms"] - events.only(constants.RUN_START)["time_ms"]
    return RunSummary(
        path=path,
        seed=int(events.number(constants.SEED)),
        status=constants.ABORTED
        if events.all(FAULT)
        else str((run_stop["metadata"] or {}).get(constants.STATUS, "unknown")),
        time_to_solution=milliseconds / 1000,
        epochs=epochs,
        samples=int(samples),
        final_accuracy=events.last_number(constants.EVAL_ACCURACY),
        final_wbce=events.last_number(EVAL_WBCE),
        target=events.number(TARGET_ACCURACY),
        division=str(events.only(constants.SUBMISSION_DIVISION)["value"]),
        dataset=str(events.only(DATASET)["value"]),
        platform=str(events.only(constants.SUBMISSION_PLATFORM)["value"]),
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

    def number(self, key: str) -> float:
        return self._as_number(key, self.only(key)["value"])

    def last_number(self, key: str) -> float:
        records = self.all(key)
        return self._as_number(key, records[-1]["value"]) if records else math.nan

    def _as_number(self, key: str, value: Any) -> float:
        try:
            return float(value)
        except (TypeError, ValueError) as error:
            raise InputError(f"{self._path}: '{key}' is {value!r}, expected a number.") from error

    def _checked(self, line: LogLine) -> dict[str, Any]:
        record = line.record
        if (
            record is None
            or not isinstance(record["key"], str)
            or not isinstance(record["time_ms"], int | float)
            or not isinstance(record["metadata"], dict | None)
        ):
            raise InputError(f"{self._path}: line {line.number} is not a valid MLLOG line.")
        return record


def _figure(value: float) -> str:
    return "none" if math.isnan(value) else f"{value:.4f}"
