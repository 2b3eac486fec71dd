"""Samples the sensors of this node into a CSV file, in a process of its own.

    python -m cloudmask.machine.sensors.sampler FILE SECONDS POWERCAP [PCI_ADDRESS ...]

A process rather than a thread: it shares no lock with the training, and a driver that does not
answer holds up nothing else. It is told what to do by lines on standard input: the first starts
the sampling, with a sample at once, the second ends it, with a last sample. It answers in lines
of JSON: which sensors are absent, when it is ready; nothing, when the first sample is taken; what
it has used itself, at the end. It ends by itself, at the latest a second later, if whoever started
it has gone; stop signals, which Slurm and terminals send to everyone, it leaves to the one that
started it.
"""

from __future__ import annotations

import csv
import json
import os
import select
import signal
import sys
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Protocol

from cloudmask.machine.sensors.absent import AbsentError
from cloudmask.machine.sensors.node_load import Host
from cloudmask.machine.sensors.nvml import Gpus
from cloudmask.machine.sensors.rapl import Rapl

LONGEST_WAIT = 1.0
STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT, signal.SIGUSR1)


class Sensor(Protocol):
    """Something that can be read again and again."""

    def read(self) -> dict[str, float]:
        """The values now, by column; the columns are always the same."""
        ...


class Orders:
    """The lines on standard input, as long as anybody is left to write them."""

    def __init__(self) -> None:
        self._parent = os.getppid()

    def wait(self, seconds: float) -> str | None:
        """The next line, '' if there will be none, or None if none came in time."""
        deadline = time.monotonic() + seconds
        while True:
            left = max(0.0, deadline - time.monotonic())
            if select.select([sys.stdin], [], [], min(left, LONGEST_WAIT))[0]:
                return sys.stdin.readline()
            # The end of the pipe is not enough: whoever the run has forked holds it open.
            if os.getppid() != self._parent:
                return ""
            if left == 0:
                return None


def power_sensors(powercap: Path, gpus: Sequence[str]) -> tuple[list[Sensor], list[str]]:
    """The sensors that are there, and why the others are not."""
    sensors: list[Sensor] = []
    absent = []
    for kind in (lambda: Rapl(powercap), lambda: Gpus(gpus)):
        try:
            sensors.append(kind())
        except AbsentError as error:
            absent.append(str(error))
    return sensors, absent


def sample(path: Path, seconds: float, sensors: Sequence[Sensor], orders: Orders) -> None:
    """Write a row at once, and say so; then one every so many seconds, and one at the end."""
    path.parent.mkdir(parents=True, exist_ok=True)  # another node may not have the log's folder
    with path.open("w", buffering=1, newline="") as file:  # a row is there as soon as it is whole
        row = read(sensors)
        writer = csv.DictWriter(file, list(row), lineterminator="\n")
        writer.writeheader()
        writer.writerow(row)
        print("{}", flush=True)
        due, order = time.monotonic(), None
        while order is None:
            # A sample that came late does not pull the ones behind it after it.
            due = max(due + seconds, time.monotonic())
            order = orders.wait(due - time.monotonic())
            writer.writerow(read(sensors))


def read(sensors: Iterable[Sensor]) -> dict[str, float]:
    """The time in milliseconds since 1970, and the values of all sensors."""
    row: dict[str, float] = {"time_ms": round(time.time() * 1000, 3)}
    for sensor in sensors:
        row.update({name: round(value, 3) for name, value in sensor.read().items()})
    return row


def main(arguments: Sequence[str]) -> int:
    """Sample as told."""
    path, seconds, powercap, *gpus = arguments
    for number in STOP_SIGNALS:
        signal.signal(number, signal.SIG_IGN)
    orders = Orders()
    sensors, absent = power_sensors(Path(powercap), gpus)
    print(json.dumps({"measures_power": bool(sensors), "absent": absent}), flush=True)
    while (order := orders.wait(LONGEST_WAIT)) is None:
        pass
    if not order:
        return 0
    began = time.process_time()
    sample(Path(path), float(seconds), [Host(), *sensors], orders)
    print(json.dumps({"sampler_cpu_seconds": round(time.process_time() - began, 3)}), flush=True)
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
