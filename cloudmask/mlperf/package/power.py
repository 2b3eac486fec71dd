"""Power logs of the HPC layout, from the samples beside the runs.

training_policies/power_measurement.adoc asks for the whole node's power at its supply, of every
node, once a second over the timed part of every run, in at least 60 samples; submission_rules.adoc
for `power/result_N/node_J.txt`.
"""

import json
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

from mlperf_logging.mllog import constants

from cloudmask.machine.sensors.usage import read_rows, read_usage
from cloudmask.mlperf.log.lines import read_lines
from cloudmask.mlperf.log.logger import companion_path
from cloudmask.mlperf.log.run_summary import RunSummary
from cloudmask.mlperf.package.request import System

SAMPLES = 60  # at least, in every run
_LATE = 1.05  # seconds between samples on average: one a second, and what a busy node delays
_NODE = "node_joules"


def write_power(system: System, folder: Path) -> str:
    """Write the power logs of all runs, or none; returns why not, or ''.

    `folder` is that of the results of the system and benchmark.
    """
    summaries = [run.summary for run in system.runs if run.summary is not None]
    files = [_samples(summary) for summary in summaries]
    measured = any(_NODE in next(read_rows(path), {}) for paths in files for path in paths)
    if not measured:
        return "the whole node was not measured (docs/power.md)"
    for summary, paths in zip(summaries, files, strict=True):
        for path in paths:
            if reason := _lack(path, summary):
                return f"{path}: {reason}"
    for number, (summary, paths) in enumerate(zip(summaries, files, strict=True)):
        meters = _meters(summary.path)
        for node, path in enumerate(paths):
            lines = _events(path, node, meters.get(node, ""))
            target = folder / "power" / f"result_{number}" / f"node_{node}.txt"
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    return ""


def _samples(summary: RunSummary) -> list[Path]:
    """The files of samples of each node of a run; they may be missing."""
    suffixes = [".csv", *(f"_node{node}.csv" for node in range(1, max(1, summary.nodes)))]
    return [companion_path(summary.path, "utilisation", suffix) for suffix in suffixes]


def _lack(path: Path, summary: RunSummary) -> str:
    """What the rules ask for and the samples of a node lack, or ''."""
    usage = read_usage(path)
    if not usage.samples:
        return "there are no samples of this node"
    if "node" not in usage.joules:
        return "the whole node was not measured"
    if usage.joules["node"] < usage.of_devices():
        return "the meter of the node counted less than its processors and GPUs"
    if usage.samples < SAMPLES:
        return f"{usage.samples} samples, and the rules ask for {SAMPLES}"
    if usage.seconds < summary.time_to_solution:
        return f"the samples end after {usage.seconds:.0f} s, before the run does"
    if usage.seconds / (usage.samples - 1) > _LATE:
        return f"a sample every {usage.seconds / (usage.samples - 1):.1f} s, and not every second"
    return ""


def _meters(log: Path) -> dict[int, str]:
    """The name of the meter of each node, as the run logged it."""
    found = {}
    for line in read_lines(log):
        record = line.record or {}
        if record.get("key") == "power_sensors":
            names: Sequence[str] = record["value"].get("node_meter", [])
            found[int(record["metadata"]["node"])] = ", ".join(names)
    return found


def _events(path: Path, node: int, meter: str) -> list[str]:
    """The lines of a power log: each reading is the mean power since the one before."""
    rows = list(read_rows(path))
    host = {"host": f"node_{node}"}

    def line(kind: str, key: str, time_ms: float, value: Any, **metadata: Any) -> str:
        record = {"namespace": "", "time_ms": round(time_ms), "event_type": kind, "key": key}
        # The format needs the place of the code that logged the event.
        place = {"file": Path(__file__).name, "lineno": 0}
        record |= {"value": value, "metadata": {**place, **host, **metadata}}
        return f":::MLLOG {json.dumps(record)}"

    first, last = rows[0]["time_ms"], rows[-1]["time_ms"]
    point = "POINT_IN_TIME"
    return [
        line("INTERVAL_START", constants.POWER_MEASUREMENT_START, first, None),
        # 1: what the meter reads is taken as it is, with the losses of the supply or without.
        line(point, constants.CONVERTION_EFF, first, 1.0, meter=meter),
        *(
            line(
                point,
                constants.POWER_READING,
                after["time_ms"],
                round(1000 * (after[_NODE] - before[_NODE]) / elapsed, 3),
            )
            for before, after in pairwise(rows)
            if (elapsed := after["time_ms"] - before["time_ms"]) > 0
        ),
        line("INTERVAL_END", constants.POWER_MEASUREMENT_STOP, last, None),
    ]
