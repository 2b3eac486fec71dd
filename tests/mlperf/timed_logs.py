"""Logs of runs whose times a test decides."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from cloudmask.config import configure
from cloudmask.mlperf.log.run_summary import read_summary
from cloudmask.mlperf.score.runs import Run as JudgedRun
from cloudmask.mlperf.score.runs import reject_repeated_seeds
from tests.mlperf.run_events import Event, Run, complete_run

TOKEN = ":::MLLOG "
BEGAN = 1_790_000_000_000
COMMIT = "0123456789abcdef0123456789abcdef01234567"
Spoil = Callable[[Run], object]


def set_value(key: str, value: Any) -> Spoil:
    """Gives every occurrence of a key another value."""

    def spoil(run: Run) -> None:
        for event in run:
            if event.key == key:
                event.value = value

    return spoil


def miss_the_target(run: Run) -> None:
    """A run whose epochs were used up."""
    run.event("run_stop").metadata.update(status="aborted", reason="accuracy 0.89 after 3 epochs")


def write_log(path: Path, run: Run, seconds: float, later: float = 0) -> Path:
    """Writes the events evenly over the time from run_start to run_stop, and around it.

    `later` are the seconds between the usual beginning and this one.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    run.write(path)
    records = [json.loads(line.removeprefix(TOKEN)) for line in path.read_text().splitlines()]
    keys = [record["key"] for record in records]
    start, stop = keys.index("run_start"), keys.index("run_stop")
    for index, record in enumerate(records):
        inside = min(max(index - start, 0), stop - start) / (stop - start)
        outside = index if index < start else start + max(index - stop, 0)
        record["time_ms"] = (
            BEGAN + round(1000 * later) + outside * 10 + round(1000 * seconds * inside)
        )
    path.write_text("".join(f"{TOKEN}{json.dumps(record)}\n" for record in records))
    return path


def write_runs(
    folder: Path,
    seconds: Sequence[float],
    *spoils: Spoil,
    commit: str = COMMIT,
    division: str = "open",
    epochs: Sequence[int] = (),
    first_seed: int = 100,
    later: float = 0,
) -> list[Path]:
    """A run that counts for each time, with seeds of their own, into result_0.txt and on.

    `epochs` are those that each run takes, three if not given; `spoils` change every run.
    """
    paths = []
    for number, time in enumerate(seconds):
        count = epochs[number] if epochs else 3
        run = complete_run(division, (*[0.8] * (count - 1), 0.91))
        run.event("submission_github_commit_version").value = commit
        run.event("seed").value = first_seed + number
        configuration = configure(["--recipe=reference", "--dataset=ds1"]).for_reruns()
        run.insert(run.at("store"), Event("event", "configuration", configuration))
        set_value("eval_wbce", 0.2)(run)
        for spoil in spoils:
            spoil(run)
        paths.append(write_log(folder / f"result_{number}.txt", run, time, later))
    return paths


def unchecked(paths: Sequence[Path]) -> list[JudgedRun]:
    """The runs as if the checker had accepted them: for what is done with them afterwards."""
    return reject_repeated_seeds(JudgedRun(path, read_summary(path), ()) for path in paths)
