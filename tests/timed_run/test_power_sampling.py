"""Power and utilisation of a run in its log, as the official tools read them."""

from __future__ import annotations

import time
from contextlib import suppress
from functools import partial

import pytest
from mlperf_logging.compliance_checker.mlp_parser import parse_file
from mlperf_logging.result_summarizer.result_summarizer import _compute_power_node

from cloudmask.config import Config
from cloudmask.console import Console
from cloudmask.machine.sensors.sampler_process import SamplerProcess
from cloudmask.machine.sensors.usage import read_usage
from cloudmask.mlperf.log.lines import read_lines
from cloudmask.mlperf.log.logger import RunLog
from cloudmask.timed_run import power_sampling as module
from cloudmask.timed_run.power_sampling import PowerSampling
from tests.machine.sensors.powercap import Powercap

NO_METER = "no meter of the whole node (power command, hwmon or psys)"


@pytest.fixture
def powercap(tmp_path, monkeypatch):
    """Energy counters for the samplers of this test."""
    tree = Powercap(tmp_path / "class")
    monkeypatch.setattr(module, "SamplerProcess", partial(SamplerProcess, devices=tree.devices))
    return tree


def sampled(log, alone, seconds=0.1):
    """The sampling of a run."""
    return PowerSampling(Config(sample_seconds=seconds), alone, log, Console(visible=True))


def events(log):
    """Key, value and metadata of every event."""
    records = [line.record for line in read_lines(log)]
    return {record["key"]: record for record in records}


def test_energy_and_mean_power_are_logged_by_kind_of_device(tmp_path, alone, powercap, capsys):
    path = tmp_path / "result_3.txt"
    with RunLog(path) as log, sampled(log, alone) as sampling:
        sampling.begin()
        time.sleep(0.5)
        powercap.set("intel-rapl:0", 300_000_000)
        powercap.set("intel-rapl:1", 200_000_000)
        powercap.set("intel-rapl:0:1", 50_000_000)
    usage = read_usage(tmp_path / "utilisation_3.csv")
    found = events(path)
    reading = found["power_reading"]
    assert reading["metadata"]["joules"] == 550
    assert reading["metadata"]["seconds"] == usage.seconds
    assert reading["value"] == pytest.approx(550 / usage.seconds, rel=1e-5)
    devices = reading["metadata"]["devices"]
    assert {kind: figures["joules"] for kind, figures in devices.items()} == {
        "cpu": 500,
        "memory": 50,
    }
    assert devices["cpu"]["watts"] == pytest.approx(500 / usage.seconds, rel=1e-5)
    measured = ["dram-0", "dram-1", "package-0", "package-1"]
    assert found["power_sensors"]["value"] == {
        "measured": measured,
        "absent": ["no GPU in the run", NO_METER],
        "node_meter": [],
    }
    assert found["utilisation"]["value"]["samples"] == usage.samples
    assert found["utilisation"]["value"]["sampler_cpu_seconds"] < usage.seconds
    said = capsys.readouterr().out
    assert said.startswith("power ")
    assert "energy 0.6 kJ (cpu " in said


def test_the_official_summary_computes_the_same_energy(tmp_path, alone, powercap):
    path = tmp_path / "result_0.txt"
    with RunLog(path) as log, sampled(log, alone) as sampling:
        sampling.begin()
        time.sleep(0.3)
        powercap.set("intel-rapl:0", 300_000_000)
    lines, errors = parse_file(path, ruleset="3.0.0")
    assert errors == []
    watts = events(path)["power_reading"]["value"]
    for line in lines:  # the reading stands just before the stop, as a mean over all before it
        if line.key == "power_reading":
            assert line.value["value"] == watts
    hour = 3_600_000
    assert _compute_power_node(lines, hour) == pytest.approx(watts * 3600, rel=0.05)


def test_without_sensors_the_log_says_so_and_claims_no_measurement(
    tmp_path, alone, monkeypatch, capsys
):
    nowhere = tmp_path / "nowhere"
    monkeypatch.setattr(module, "SamplerProcess", partial(SamplerProcess, devices=nowhere))
    path = tmp_path / "result_0.txt"
    with RunLog(path) as log, sampled(log, alone) as sampling:
        sampling.begin()
    found = events(path)
    assert set(found) == {"power_sensors", "utilisation"}
    assert found["power_sensors"]["value"]["measured"] == []
    assert len(found["power_sensors"]["value"]["absent"]) == 3
    assert capsys.readouterr().out.splitlines() == [
        "power not measured: no energy counters of the processors "
        f"({nowhere / 'powercap'} is missing), "
        f"no GPU in the run, {NO_METER}"
    ]


def test_a_run_that_fails_is_sampled_to_its_end(tmp_path, alone, powercap):
    path = tmp_path / "result_0.txt"
    with RunLog(path) as log:
        with suppress(ZeroDivisionError), sampled(log, alone) as sampling:
            sampling.begin()
            powercap.set("intel-rapl:0", 1_000_000)
            raise ZeroDivisionError
        log.event("afterwards")
    assert list(events(path)) == [
        *("power_measurement_start", "power_sensors", "utilisation", "power_reading"),
        *("power_measurement_stop", "afterwards"),
    ]


def test_a_run_that_fails_before_its_clock_logs_no_samples(tmp_path, alone):
    path = tmp_path / "result_0.txt"
    with RunLog(path) as log, pytest.raises(ZeroDivisionError), sampled(log, alone):
        raise ZeroDivisionError
    assert path.read_text() == ""
    assert not (tmp_path / "utilisation_0.csv").exists()


def test_0_seconds_switch_it_off(tmp_path, alone):
    path = tmp_path / "result_0.txt"
    with RunLog(path) as log, sampled(log, alone, seconds=0.0) as sampling:
        sampling.begin()
    assert path.read_text() == ""
    assert [entry.name for entry in tmp_path.iterdir()] == ["result_0.txt"]
