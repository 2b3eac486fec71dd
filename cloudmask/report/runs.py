"""The runs of a log folder, as the report shows them; a log that is cut short is shown as such."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mlperf_logging.mllog import constants

from cloudmask.errors import InputError
from cloudmask.mlperf.log_lines import read_lines
from cloudmask.mlperf.summary import EVAL_WBCE, RunSummary, read_summary

RESULT_PATTERN = "result_*.txt"
RESULT = "result"
REASON = "reason"

# Seconds of a run by what they went into. `INIT` lies before the clock, `REST` is what the events
# between run_start and run_stop do not explain.
INIT, STAGING, TRAINING, EVALUATION, REST = "init", "staging", "training", "evaluation", "rest"
PHASES = (INIT, STAGING, TRAINING, EVALUATION, REST)
INTERVALS = {
    INIT: (constants.INIT_START, constants.INIT_STOP),
    STAGING: (constants.STAGING_START, constants.STAGING_STOP),
    TRAINING: (constants.EPOCH_START, constants.EPOCH_STOP),
    EVALUATION: (constants.EVAL_START, constants.EVAL_STOP),
}

UNFINISHED = "unfinished"
LARGEST = 1e14  # of any number that is shown; as ms, the year 5138


@dataclass(frozen=True)
class Epoch:
    """One evaluation of a run, after the epoch of this number."""

    number: int
    seconds: float
    """Since run_start; NaN if the log does not tell."""
    accuracy: float
    """Of the validation pixels."""
    wbce: float
    """Weighted binary cross entropy of the validation pixels; NaN if not logged."""


@dataclass(frozen=True)
class Run:
    """What one log tells."""

    name: str
    """Name of the file without its suffix, e.g. 'result_0'."""
    status: str
    """'success', 'aborted', or 'unfinished' where the log breaks off."""
    summary: RunSummary | None
    """None where the log is not that of one whole run."""
    problem: str
    """Why there is no summary, or why the run was aborted; empty where neither is told."""
    phases: Mapping[str, float]
    """Seconds of each of `PHASES` that the log tells."""
    epochs: tuple[Epoch, ...]
    result: Mapping[str, Any]
    """The scientific result; empty if the run has none."""

    @property
    def reached_target(self) -> bool:
        """Whether the run counts as a solution."""
        return self.summary is not None and self.status == constants.SUCCESS


@dataclass(frozen=True)
class RunFolder:
    """The runs of one system."""

    path: Path
    name: str
    """What the report calls it: the system as logged, or else the folder."""
    runs: tuple[Run, ...]

    def logged(self, attribute: str) -> list[Any]:
        """The different values of an attribute of the runs' summaries, in order."""
        values = [getattr(run.summary, attribute) for run in self.runs if run.summary is not None]
        return list(dict.fromkeys(values))


def read_folder(folder: Path) -> RunFolder:
    """All logs `result_N.txt` of a folder, by number.

    Raises:
        InputError: there is no such folder, no log in it, or none with any MLLOG line.
    """
    if not folder.is_dir():
        raise InputError(f"{folder} is not a folder: give one that holds {RESULT_PATTERN}")
    logs = sorted(folder.glob(RESULT_PATTERN), key=_number)
    if not logs:
        raise InputError(f"{folder} holds no {RESULT_PATTERN}: give the log folder of a system")
    runs = tuple(read_run(log) for log in logs)
    if not any(run.phases or run.summary for run in runs):
        raise InputError(
            f"{folder} holds no log of a run; the first of {len(runs)}: {logs[0].name}"
        )
    systems = [run.summary.platform for run in runs if run.summary is not None]
    return RunFolder(folder, systems[0] if systems else folder.resolve().name, runs)


def read_run(path: Path) -> Run:
    """What a log tells of its run, be it whole or not.

    Raises:
        InputError: the file cannot be read.
    """
    events = _Events(path)
    summary, problem = None, events.reason
    try:
        summary = read_summary(path)
        if not _plausible(summary.time_to_solution):
            raise InputError(f"{path}: the run took {summary.time_to_solution} s: damaged")
    except (InputError, ValueError, OverflowError) as error:
        summary, problem = None, str(error)
    results = [value for value in events.values(RESULT) if isinstance(value, dict)]
    return Run(
        name=path.stem,
        status=UNFINISHED if summary is None else summary.status,
        summary=summary,
        problem=problem,
        phases=_phases(events, summary),
        epochs=_epochs(events),
        result=results[-1] if results else {},
    )


class _Events:
    """The valid events of a log by key, each as its time in seconds, value and epoch."""

    def __init__(self, path: Path) -> None:
        self.reason = ""  # for which the run was aborted
        self._by_key: dict[str, list[tuple[float, Any, Any]]] = {}
        for line in read_lines(path):
            record = line.record
            if record is None or not _plausible(record["time_ms"]):
                continue
            metadata = record["metadata"] if isinstance(record["metadata"], dict) else {}
            if record["key"] == constants.RUN_STOP:
                self.reason = str(metadata.get(REASON, ""))
            event = record["time_ms"] / 1000, record["value"], metadata.get(constants.EPOCH_NUM)
            self._by_key.setdefault(str(record["key"]), []).append(event)

    def times(self, key: str) -> list[float]:
        return [time for time, _, _ in self._by_key.get(key, [])]

    def values(self, key: str) -> list[Any]:
        return [value for _, value, _ in self._by_key.get(key, [])]

    def numbered(self, key: str) -> dict[int, tuple[float, float]]:
        """Time and value by epoch, for values that are numbers."""
        return {
            epoch: (time, float(value))
            for time, value, epoch in self._by_key.get(key, [])
            if _plausible(value) and isinstance(epoch, int) and 0 < epoch < LARGEST
        }


def _phases(events: _Events, summary: RunSummary | None) -> dict[str, float]:
    seconds = {}
    for phase, (start, stop) in INTERVALS.items():
        pairs = list(zip(events.times(start), events.times(stop), strict=False))
        if pairs:
            seconds[phase] = sum(end - begin for begin, end in pairs)
    if summary is not None:
        timed = sum(spent for phase, spent in seconds.items() if phase != INIT)
        seconds[REST] = max(summary.time_to_solution - timed, 0.0)
    return seconds


def _epochs(events: _Events) -> tuple[Epoch, ...]:
    started = events.times(constants.RUN_START)
    wbce = events.numbered(EVAL_WBCE)
    return tuple(
        Epoch(
            number,
            time - started[0] if started else math.nan,
            accuracy,
            wbce.get(number, (math.nan, math.nan))[1],
        )
        for number, (time, accuracy) in sorted(events.numbered(constants.EVAL_ACCURACY).items())
    )


def _plausible(value: Any) -> bool:
    """A number from which a figure can be drawn; damaged logs hold others."""
    return isinstance(value, int | float) and -LARGEST < value < LARGEST


def _number(path: Path) -> tuple[int, str]:
    digits = re.search(r"\d+", path.stem)
    return (int(digits.group()) if digits else 0, path.name)
