"""The runs of a log folder with their phases and epochs; a truncated log is an unfinished run."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mlperf_logging.mllog import constants

from cloudmask.errors import InputError
from cloudmask.mlperf.log.events import LARGEST, Event, EventLog
from cloudmask.mlperf.log.run_summary import EVAL_WBCE, UNFINISHED, RunSummary
from cloudmask.mlperf.score.runs import Run as CheckedRun
from cloudmask.mlperf.score.runs import find_logs, read_runs

# Phases of a run. `INIT` is before the clock; `REST` is the time between run_start and run_stop
# outside the other phases.
INIT, STAGING, TRAINING, EVALUATION, REST = "init", "staging", "training", "evaluation", "rest"
PHASES = (INIT, STAGING, TRAINING, EVALUATION, REST)
INTERVALS = {
    INIT: (constants.INIT_START, constants.INIT_STOP),
    STAGING: (constants.STAGING_START, constants.STAGING_STOP),
    TRAINING: (constants.EPOCH_START, constants.EPOCH_STOP),
    EVALUATION: (constants.EVAL_START, constants.EVAL_STOP),
}


@dataclass(frozen=True)
class Epoch:
    """One epoch with its evaluation on the validation pixels."""

    number: int
    seconds: float
    """Since run_start; NaN if not logged."""
    accuracy: float
    wbce: float
    """Weighted binary cross entropy; NaN if not logged."""


@dataclass(frozen=True)
class Run:
    """One log."""

    name: str
    """Name of the file without its suffix, e.g. 'result_0'."""
    checked: CheckedRun
    """Whether it counts towards a score, and why not."""
    phases: Mapping[str, float]
    """Seconds of each of `PHASES` that is logged."""
    epochs: tuple[Epoch, ...]

    @property
    def summary(self) -> RunSummary | None:
        """None if the log is not that of one whole run."""
        return self.checked.summary

    @property
    def status(self) -> str:
        """'success', 'aborted', or 'unfinished' if the log is truncated."""
        return UNFINISHED if self.summary is None else self.summary.status

    @property
    def reached_target(self) -> bool:
        """Whether the run was a success, whether it counts or not."""
        return self.summary is not None and self.status == constants.SUCCESS


@dataclass(frozen=True)
class RunFolder:
    """The runs of one system."""

    path: Path
    name: str
    """The system as logged, or else the name of the folder."""
    runs: tuple[Run, ...]

    def logged(self, attribute: str) -> list[Any]:
        """The distinct values of an attribute of the runs' summaries, in order."""
        values = [getattr(run.summary, attribute) for run in self.runs if run.summary is not None]
        return list(dict.fromkeys(values))


def read_folders(folders: Sequence[Path]) -> list[RunFolder]:
    """All logs in the folders, at any depth, sorted by their own folder and by number.

    Raises:
        InputError: as `find_logs`, or no log of a folder has an event of a run.
    """
    runs: dict[Path, list[Run]] = {}
    for checked in read_runs(find_logs(folders)):
        runs.setdefault(checked.path.parent, []).append(_read_run(checked))
    return [_folder(path, found) for path, found in runs.items()]


def _folder(path: Path, runs: Sequence[Run]) -> RunFolder:
    if not any(run.phases or run.summary for run in runs):
        raise InputError(f"{path}: holds no log of a run; give the folders that do.")
    systems = [run.summary.platform for run in runs if run.summary is not None]
    return RunFolder(path, systems[0] if systems else path.resolve().name, tuple(runs))


def _read_run(checked: CheckedRun) -> Run:
    events = EventLog(checked.path, skip_invalid=True)
    phases = _phases(events, checked.summary)
    return Run(checked.path.stem, checked, phases, _epochs(events))


def _phases(events: EventLog, summary: RunSummary | None) -> dict[str, float]:
    seconds = {}
    for phase, (start, stop) in INTERVALS.items():
        spent = events.total_seconds(start, stop)
        if spent is not None:
            seconds[phase] = spent
    if summary is not None and summary.status != UNFINISHED:
        timed = sum(spent for phase, spent in seconds.items() if phase != INIT)
        seconds[REST] = max(summary.time_to_solution - timed, 0.0)
    return seconds


def _epochs(events: EventLog) -> tuple[Epoch, ...]:
    run_start = events.all(constants.RUN_START)
    started = run_start[0].seconds if run_start else None
    wbce = _by_epoch(events, EVAL_WBCE)
    return tuple(
        Epoch(
            number,
            math.nan if started is None or event.seconds is None else event.seconds - started,
            accuracy,
            wbce[number][1] if number in wbce else math.nan,
        )
        for number, (event, accuracy) in sorted(_by_epoch(events, constants.EVAL_ACCURACY).items())
    )


def _by_epoch(events: EventLog, key: str) -> dict[int, tuple[Event, float]]:
    """The last event of each epoch, and its value, for values that are numbers."""
    return {
        int(event.epoch): (event, event.number)
        for event in events.all(key)
        if event.number is not None and abs(event.number) < LARGEST
        if event.epoch is not None and 0 < event.epoch < LARGEST
    }
