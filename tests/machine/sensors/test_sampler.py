"""The sampler's loop: when it samples, and when it ends."""

from __future__ import annotations

import csv
import io
import json
import os
import sys

import pytest

from cloudmask.machine.sensors import sampler
from cloudmask.machine.sensors.sampler import Commands, power_sensors, read_sensors, sample


class Clock:
    """A monotonic clock that only moves when a test moves it."""

    def __init__(self, monkeypatch):
        self.now = 100.0
        monkeypatch.setattr(sampler.time, "monotonic", lambda: self.now)


class Sensor:
    """Counts its readings; each takes the seconds given."""

    def __init__(self, clock, durations):
        self.clock, self.durations, self.count = clock, list(durations), 0

    def read(self):
        self.count += 1
        self.clock.now += self.durations.pop(0) if self.durations else 0.0
        return {"count": self.count}


class Scripted:
    """Commands that stop after some waits, and record how long the sampler waited."""

    def __init__(self, clock, waits):
        self.clock, self.left, self.waited = clock, waits, []

    def wait(self, seconds):
        self.waited.append(round(seconds, 6))
        self.clock.now += seconds
        self.left -= 1
        return "stop\n" if self.left == 0 else None


def run(tmp_path, monkeypatch, durations, waits):
    clock = Clock(monkeypatch)
    commands = Scripted(clock, waits)
    path = tmp_path / "folder" / "samples.csv"
    sample(path, 10.0, [Sensor(clock, durations)], commands)
    with path.open(newline="") as file:
        return commands.waited, [int(row["count"]) for row in csv.DictReader(file)]


def test_samples_are_a_period_apart_however_long_a_reading_takes(tmp_path, monkeypatch, capsys):
    waited, counts = run(tmp_path, monkeypatch, [0.0, 3.0, 1.0], waits=3)
    assert waited == [10, 7, 9]
    assert counts == [1, 2, 3, 4]  # at the start, after every wait, and so at the stop
    assert capsys.readouterr().out == "{}\n"


def test_a_sample_late_by_periods_is_not_made_up_for(tmp_path, monkeypatch):
    waited, _ = run(tmp_path, monkeypatch, [0.0, 35.0, 0.0], waits=4)
    assert waited == [10, 0, 10, 10]


def test_rows_have_the_time_and_all_values_rounded(monkeypatch):
    monkeypatch.setattr(sampler.time, "time", lambda: 1.23456789)

    class Fixed:
        def read(self):
            return {"watts": 1.23456}

    assert read_sensors([Fixed()]) == {"time_ms": 1234.568, "watts": 1.235}


@pytest.fixture
def standard_input(monkeypatch):
    """A pipe in the place of standard input, whose writing end is returned."""
    reader, writer = os.pipe()
    with os.fdopen(reader) as stream, os.fdopen(writer, "w") as pipe:
        monkeypatch.setattr(sys, "stdin", stream)
        yield pipe


def test_a_command_is_the_next_line_and_none_if_none_came(standard_input):
    commands = Commands()
    assert commands.wait(0) is None
    print("stop", file=standard_input, flush=True)
    assert commands.wait(60) == "stop\n"


def test_without_its_parent_there_are_no_more_commands(standard_input, monkeypatch):
    commands = Commands()
    monkeypatch.setattr(os, "getppid", lambda: 1)
    monkeypatch.setattr(sampler, "LONGEST_WAIT", 0.01)
    assert commands.wait(60) == ""


def test_power_sensors_that_are_unavailable_have_a_reason(tmp_path, powercap):
    sensors, unavailable = power_sensors(tmp_path / "nowhere", "", [])
    assert sensors == []
    assert [reason.split(" (")[0] for reason in unavailable] == [
        "no energy counters of the processors",
        "no GPU in the run",
        "no meter of the whole node",
    ]
    assert len(power_sensors(powercap.devices, "", [])[0]) == 1


def test_without_a_start_command_nothing_is_sampled(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(sys, "stdin", io.StringIO())
    monkeypatch.setattr(sampler.Commands, "wait", lambda self, seconds: "")
    monkeypatch.setattr(sampler.signal, "signal", lambda number, action: None)
    file = tmp_path / "samples.csv"
    assert sampler.main([str(file), "1", str(tmp_path / "nowhere"), ""]) == 0
    (line,) = capsys.readouterr().out.splitlines()
    assert json.loads(line)["measures_power"] is False
    assert not file.exists()
