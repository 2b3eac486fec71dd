"""Samples the sensors of this node into a CSV file, in a process of its own.

    python -m cloudmask.machine.sensors.sampler FILE SECONDS DEVICES POWER_COMMAND [PCI_ADDRESS ...]

A process rather than a thread: it shares no lock with the training, and a driver that does not
respond blocks nothing else. Two lines on standard input control it: the first starts sampling,
with a sample at once, the second stops it, with a last sample. It writes three lines of JSON to
standard output: the unavailable sensors, when it is ready; an empty object, after the first
sample; its own CPU time, at the end. It exits within a second if its parent process has exited. It
ignores the stop signals that Slurm and terminals send to all processes; its parent stops it.
"""

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

from cloudmask.machine.sensors.node_load import NodeLoad
from cloudmask.machine.sensors.node_meter import NodeMeter
from cloudmask.machine.sensors.nvml import NvmlGpus
from cloudmask.machine.sensors.rapl import RaplCounters
from cloudmask.machine.sensors.sensor_error import SensorError

LONGEST_WAIT = 1.0  # seconds until the parent process is looked for
STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT, signal.SIGUSR1)


class Sensor(Protocol):
    """Anything that is read once per sample."""

    def read(self) -> dict[str, float]:
        """The current values by column; the columns never change."""
        ...


class Commands:
    """The command lines on standard input, while the parent process is alive."""

    def __init__(self) -> None:
        self._parent = os.getppid()

    def wait(self, seconds: float) -> str | None:
        """The next line; '' if the parent is gone, None if there was none within `seconds`."""
        deadline = time.monotonic() + seconds
        while True:
            left = max(0.0, deadline - time.monotonic())
            if select.select([sys.stdin], [], [], min(left, LONGEST_WAIT))[0]:
                return sys.stdin.readline()
            # Processes forked by the parent keep the pipe open, so its end is not enough.
            if os.getppid() != self._parent:
                return ""
            if left == 0:
                return None


def power_sensors(
    devices: Path, command: str, gpus: Sequence[str]
) -> tuple[list[Sensor], list[str]]:
    """The available sensors, and why the others are unavailable."""
    sensors: list[Sensor] = []
    unavailable = []
    for sensor in (
        lambda: RaplCounters(devices / "powercap"),
        lambda: NvmlGpus(gpus),
        lambda: NodeMeter(devices, command),
    ):
        try:
            sensors.append(sensor())
        except SensorError as error:
            unavailable.append(str(error))
    return sensors, unavailable


def sample(path: Path, seconds: float, sensors: Sequence[Sensor], commands: Commands) -> None:
    """Write a row now and report it, then one every `seconds`, and one at the stop command."""
    path.parent.mkdir(parents=True, exist_ok=True)  # other nodes may not have the log's folder
    with path.open("w", buffering=1, newline="") as file:  # each row is flushed
        row = read_sensors(sensors)
        writer = csv.DictWriter(file, list(row), lineterminator="\n")
        writer.writeheader()
        writer.writerow(row)
        print("{}", flush=True)
        due, command = time.monotonic(), None
        while command is None:
            # A late sample does not shift the samples after it, unless it is late by a period.
            due = max(due + seconds, time.monotonic())
            command = commands.wait(due - time.monotonic())
            writer.writerow(read_sensors(sensors))


def read_sensors(sensors: Iterable[Sensor]) -> dict[str, float]:
    """The time in milliseconds since 1970, and the values of all sensors."""
    row: dict[str, float] = {"time_ms": round(time.time() * 1000, 3)}
    for sensor in sensors:
        row.update({name: round(value, 3) for name, value in sensor.read().items()})
    return row


def main(arguments: Sequence[str]) -> int:
    """Run the sampler."""
    path, seconds, devices, power_command, *gpus = arguments
    for number in STOP_SIGNALS:
        signal.signal(number, signal.SIG_IGN)
    commands = Commands()
    sensors, unavailable = power_sensors(Path(devices), power_command, gpus)
    meters = [sensor.name for sensor in sensors if isinstance(sensor, NodeMeter)]
    ready = {"measures_power": bool(sensors), "unavailable": unavailable, "node_meters": meters}
    print(json.dumps(ready), flush=True)
    while (command := commands.wait(LONGEST_WAIT)) is None:
        pass
    if not command:
        return 0
    began = time.process_time()
    sample(Path(path), float(seconds), [NodeLoad(), *sensors], commands)
    print(json.dumps({"sampler_cpu_seconds": round(time.process_time() - began, 3)}), flush=True)
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
