"""Power of the whole node: commands that print watts, the kernel's meters, and their order."""

from __future__ import annotations

from pathlib import Path

import pytest

from cloudmask.machine.sensors import node_meter
from cloudmask.machine.sensors.node_meter import NodeMeter
from cloudmask.machine.sensors.sensor_error import SensorError

DCMI = """
    Instantaneous power reading:                   412 Watts
    Minimum during sampling period:                  5 Watts
    Maximum during sampling period:                999 Watts
"""


class Clock:
    def __init__(self, monkeypatch):
        self.now = 100.0
        monkeypatch.setattr(node_meter.time, "monotonic", lambda: self.now)


@pytest.fixture
def clock(monkeypatch):
    return Clock(monkeypatch)


def hwmon(devices: Path, name: str, microwatts: str) -> Path:
    folder = devices / "hwmon" / "hwmon3"
    folder.mkdir(parents=True)
    (folder / "name").write_text(f"{name}\n")
    (folder / "power1_average").write_text(microwatts)
    return folder / "power1_average"


def printing(folder: Path, text: str, code: int = 0) -> str:
    """A command that prints the text; 'watts' in the folder is what is printed next."""
    (folder / "watts").write_text(text)
    tool = folder / "tool"
    tool.write_text(f"#!/bin/sh\ncat '{folder}/watts'\nexit {code}\n")
    tool.chmod(0o755)
    return str(tool)


def test_watts_of_a_command_are_integrated_over_the_time_between_readings(tmp_path, clock):
    meter = NodeMeter(tmp_path, printing(tmp_path, DCMI))
    assert meter.read() == {"node_joules": 0}
    clock.now += 2
    assert meter.read() == {"node_joules": 824}
    (tmp_path / "watts").write_text("100.5\n")
    clock.now += 1
    assert meter.read() == {"node_joules": 924.5}


def test_the_time_of_a_missed_answer_counts_with_the_next_and_silence_ends_it(tmp_path, clock):
    meter = NodeMeter(tmp_path, printing(tmp_path, "100\n"))
    meter.read()
    (tmp_path / "watts").write_text("")
    clock.now += 1
    assert meter.read() == {"node_joules": 0}
    (tmp_path / "watts").write_text("100\n")
    clock.now += 1
    assert meter.read() == {"node_joules": 200}
    (tmp_path / "watts").write_text("")
    clock.now += 11
    with pytest.raises(SensorError, match="stopped answering"):
        meter.read()


@pytest.mark.parametrize(
    ("text", "code", "message"), [("", 0, "printed no watts"), ("412\n", 1, "exit code 1")]
)
def test_a_command_that_gives_no_watts_is_named(tmp_path, text, code, message):
    with pytest.raises(SensorError, match=message):
        NodeMeter(tmp_path, printing(tmp_path, text, code))


def test_a_command_that_is_not_there_is_named(tmp_path):
    with pytest.raises(SensorError, match="'no-such-tool -x' cannot be run"):
        NodeMeter(tmp_path, "no-such-tool -x")


def test_the_kernels_power_meter_comes_before_psys(powercap, clock):
    powercap.add_platform()
    assert NodeMeter(powercap.devices).name == "RAPL psys"
    hwmon(powercap.devices, "power_meter", "250000000\n")
    meter = NodeMeter(powercap.devices)
    assert meter.name == "hwmon power1_average"
    meter.read()
    clock.now += 4
    assert meter.read() == {"node_joules": 1000}


@pytest.mark.parametrize(("name", "value"), [("nvme", "9000000\n"), ("power_meter", "0\n")])
def test_other_devices_and_meters_without_a_reading_do_not_measure_the_node(tmp_path, name, value):
    hwmon(tmp_path, name, value)
    with pytest.raises(SensorError, match="no meter of the whole node"):
        NodeMeter(tmp_path)


def test_psys_counts_from_the_first_reading(powercap):
    powercap.add_platform()
    powercap.set("intel-rapl:2", 7_000_000)
    meter = NodeMeter(powercap.devices)
    assert meter.read() == {"node_joules": 0}
    powercap.set("intel-rapl:2", 9_500_000)
    assert meter.read() == {"node_joules": 2.5}
