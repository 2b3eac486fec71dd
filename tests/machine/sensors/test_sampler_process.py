"""The sampler process: its samples, its failures, and that it always exits."""

from __future__ import annotations

import csv
import os
import select
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil

from cloudmask.machine.sensors.sampler import STOP_SIGNALS
from cloudmask.machine.sensors.sampler_process import SAMPLER, SamplerProcess
from cloudmask.machine.sensors.usage import read_usage
from tests.paths import ROOT

# Starts a sampler, forks a child that keeps all its files open, and is then killed.
KILLED = """
import os, signal, time
from pathlib import Path
from cloudmask.machine.sensors.sampler_process import SamplerProcess
sampler = SamplerProcess(Path({file!r}), 0.1)
sampler.start_sampling()
child = os.fork()
if child == 0:
    time.sleep(600)
    os._exit(0)
print(child, flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""


def rows(file: Path) -> list[dict[str, str]]:
    with file.open(newline="") as lines:
        return list(csv.DictReader(lines))


def samplers_of(file: Path) -> list[psutil.Process]:
    """The sampler processes that write a file."""
    return [
        process
        for process in psutil.process_iter(["cmdline"])
        if {SAMPLER, str(file)} <= set(process.info["cmdline"] or [])
    ]


def wait_for(condition, seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_samples_are_taken_from_start_to_stop_and_the_process_exits(tmp_path, powercap):
    file = tmp_path / "utilisation_0.csv"
    sampler = SamplerProcess(file, 0.1, devices=powercap.devices)
    ready = sampler._process.stdout
    wait_for(lambda: select.select([ready], [], [], 0)[0])
    assert not file.exists()
    began = time.time()
    sampler.start_sampling()
    assert sampler.measures_power
    wait_for(lambda: len(rows(file)) > 3)
    powercap.set("intel-rapl:0", 5_000_000)
    assert list(sampler.stop()) == ["sampler_cpu_seconds"]
    samples = rows(file)
    assert float(samples[-1]["package-0_joules"]) == 5  # the last sample is taken at the end
    stamps = [float(row["time_ms"]) / 1000 for row in samples]
    assert stamps == sorted(stamps)
    assert began - 0.001 <= stamps[0] <= stamps[-1] <= time.time() + 0.001
    assert all(float(row["memory_gib"]) > 0 for row in samples)
    assert sampler.unavailable[0] == "no GPU in the run"
    assert samplers_of(file) == []


def test_without_power_sensors_the_others_are_sampled(tmp_path):
    sampler = SamplerProcess(tmp_path / "utilisation_0.csv", 60, devices=tmp_path / "nowhere")
    sampler.start_sampling()
    sampler.stop()
    assert not sampler.measures_power
    assert "powercap is missing" in sampler.unavailable[0]
    assert set(rows(sampler.file)[0]) == {
        *("time_ms", "cpu_percent", "memory_gib", "received_mib", "sent_mib")
    }


def test_the_sampler_does_not_import_what_takes_long_to_load():
    code = f"import sys, {SAMPLER}; print({{'torch', 'numpy', 'h5py'}} & set(sys.modules))"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout == "set()\n"


def test_stopped_before_it_sampled_it_leaves_no_file(tmp_path):
    sampler = SamplerProcess(tmp_path / "utilisation_0.csv", 0.1)
    assert sampler.stop() == {}
    assert list(tmp_path.iterdir()) == []


def test_it_exits_when_its_parent_is_killed_even_if_a_child_of_that_is_alive(tmp_path):
    file = tmp_path / "utilisation_0.csv"
    starter = subprocess.Popen(
        [sys.executable, "-c", KILLED.format(file=str(file))], cwd=ROOT, stdout=subprocess.PIPE
    )
    assert starter.stdout is not None
    child = int(starter.stdout.readline())
    try:
        assert starter.wait(60) == -signal.SIGKILL
        wait_for(lambda: samplers_of(file) == [])
        assert psutil.Process(child).is_running()
    finally:
        os.kill(child, signal.SIGKILL)
        starter.stdout.close()


def test_stop_signals_are_left_to_the_run(tmp_path):
    sampler = SamplerProcess(tmp_path / "utilisation_0.csv", 0.1)
    sampler.start_sampling()
    (process,) = samplers_of(sampler.file)
    for number in STOP_SIGNALS:
        os.kill(process.pid, number)
        count = len(rows(sampler.file))
        wait_for(lambda count=count: len(rows(sampler.file)) > count + 1)
    sampler.stop()
    assert not any("failed" in reason for reason in sampler.unavailable)


def test_a_sampler_that_was_killed_leaves_its_samples_and_a_reason(tmp_path, powercap):
    sampler = SamplerProcess(tmp_path / "utilisation_0.csv", 0.1, devices=powercap.devices)
    sampler.start_sampling()
    wait_for(lambda: sampler.file.exists() and len(rows(sampler.file)) > 2)
    (process,) = samplers_of(sampler.file)
    process.kill()
    assert sampler.stop() == {}
    assert sampler.unavailable[-1] == "the sampler failed: no answer"
    assert read_usage(sampler.file).samples > 2


def test_a_file_that_cannot_be_written_is_a_reason_not_an_error(tmp_path):
    (tmp_path / "file").touch()
    sampler = SamplerProcess(tmp_path / "file" / "utilisation_0.csv", 0.1)
    sampler.start_sampling()
    sampler.stop()
    assert sampler.unavailable[-1].startswith("the sampler failed: ")
    assert "Not a directory" in sampler.unavailable[-1] or "File exists" in sampler.unavailable[-1]


def test_a_sampler_that_does_not_start_is_a_reason_not_an_error(tmp_path, monkeypatch):
    monkeypatch.setattr(
        "cloudmask.machine.sensors.sampler_process.SAMPLER", "cloudmask.machine.sensors.nowhere"
    )
    sampler = SamplerProcess(tmp_path / "utilisation_0.csv", 0.1)
    sampler.start_sampling()
    sampler.stop()
    assert "No module named cloudmask.machine.sensors.nowhere" in sampler.unavailable[-1]


def test_a_sampler_that_hangs_is_ended_for_a_reason(tmp_path, monkeypatch):
    monkeypatch.setattr("cloudmask.machine.sensors.sampler_process.TIMEOUT", 1.0)
    sampler = SamplerProcess(tmp_path / "utilisation_0.csv", 0.1)
    (process,) = samplers_of(sampler.file)
    process.suspend()
    sampler.start_sampling()
    sampler.stop()
    assert sampler.unavailable == ["the sampler did not answer within 1 s"]
    assert samplers_of(sampler.file) == []


def test_gpus_have_energy_load_and_memory(tmp_path, nvidia_driver):
    gpus = ["0000:17:00.0", "0000:65:00.0"]
    sampler = SamplerProcess(tmp_path / "utilisation_0.csv", 0.1, gpus, tmp_path / "nowhere")
    sampler.start_sampling()
    assert sampler.measures_power
    wait_for(lambda: len(rows(sampler.file)) > 2)
    sampler.stop()
    usage = read_usage(sampler.file)
    assert usage.joules["gpu-0"] == 5 * (usage.samples - 1)  # by its counter
    assert usage.joules["gpu-1"] > 0  # by its power
    assert usage.figures["gpu_percent"] == 87
    assert usage.figures["gpu_memory_gib"] == 3


def test_a_gpu_unknown_to_the_driver_is_unavailable(tmp_path, nvidia_driver):
    sampler = SamplerProcess(tmp_path / "utilisation_0.csv", 0.1, ["0000:99:00.0"])
    sampler.start_sampling()
    sampler.stop()
    assert "the GPUs cannot be queried (Not Found)" in sampler.unavailable
