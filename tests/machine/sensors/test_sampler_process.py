"""The sampler as a process: its samples, its cost, and that it is never left behind."""

from __future__ import annotations

import csv
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from cloudmask.machine.sensors.sampler import STOP_SIGNALS
from cloudmask.machine.sensors.sampler_process import SAMPLER, Background
from cloudmask.machine.sensors.usage import read_usage
from tests.paths import ROOT

# Starts a sampler, forks a child that keeps all its files open, and is then killed.
KILLED = """
import os, signal, time
from pathlib import Path
from cloudmask.machine.sensors.sampler_process import Background
background = Background(Path({file!r}), 0.1)
background.begin()
child = os.fork()
if child == 0:
    time.sleep(60)
    os._exit(0)
print(child, flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""


def rows(file: Path) -> list[dict[str, str]]:
    with file.open(newline="") as lines:
        return list(csv.DictReader(lines))


def samplers_of(file: Path) -> list[psutil.Process]:
    """The samplers that write a file."""
    return [
        process
        for process in psutil.process_iter(["cmdline"])
        if {SAMPLER, str(file)} <= set(process.info["cmdline"] or [])
    ]


def wait_for(condition, seconds: float = 20) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_it_samples_from_beginning_to_end_and_is_gone(tmp_path, powercap):
    file = tmp_path / "utilisation_0.csv"
    background = Background(file, 0.1, powercap=powercap.folder)
    time.sleep(0.5)
    assert not file.exists()
    background.begin()
    assert background.measures_power
    wait_for(lambda: len(rows(file)) > 3)
    powercap.set("intel-rapl:0", 5_000_000)
    background.end()
    samples = rows(file)
    assert float(samples[-1]["package-0_joules"]) == 5  # the last sample is taken at the end
    stamps = [float(row["time_ms"]) for row in samples]
    assert stamps == sorted(stamps)
    assert abs(stamps[-1] / 1000 - time.time()) < 5
    assert all(float(row["memory_gib"]) > 0 for row in samples)
    assert background.absent == ["no GPU in the run"]
    assert samplers_of(file) == []


def test_without_sensors_of_power_it_says_so_and_samples_the_rest(tmp_path):
    background = Background(tmp_path / "utilisation_0.csv", 60, powercap=tmp_path / "nowhere")
    background.begin()
    background.end()
    assert not background.measures_power
    assert "nowhere is missing" in background.absent[0]
    assert set(rows(background.file)[0]) == {
        *("time_ms", "cpu_percent", "memory_gib", "received_mib", "sent_mib")
    }


@pytest.mark.slow
def test_it_uses_less_than_one_per_cent_of_one_core(tmp_path, powercap):
    background = Background(tmp_path / "utilisation_0.csv", 1.0, powercap=powercap.folder)
    background.begin()
    time.sleep(4)
    used = background.end()["sampler_cpu_seconds"]
    usage = read_usage(background.file)
    assert usage.samples >= 4
    assert 0 < used < 0.01 * usage.seconds


def test_ended_before_it_began_it_leaves_nothing(tmp_path):
    background = Background(tmp_path / "utilisation_0.csv", 0.1)
    assert background.end() == {}
    assert list(tmp_path.iterdir()) == []


def test_it_ends_when_its_starter_is_killed_even_if_a_child_of_that_lives_on(tmp_path):
    file = tmp_path / "utilisation_0.csv"
    starter = subprocess.Popen(
        [sys.executable, "-c", KILLED.format(file=str(file))], cwd=ROOT, stdout=subprocess.PIPE
    )
    assert starter.stdout is not None
    child = int(starter.stdout.readline())
    try:
        assert starter.wait(20) == -signal.SIGKILL
        wait_for(lambda: samplers_of(file) == [])
        assert psutil.Process(child).is_running()
    finally:
        os.kill(child, signal.SIGKILL)
        starter.stdout.close()


@pytest.mark.parametrize("number", STOP_SIGNALS)
def test_stop_signals_are_left_to_the_run(tmp_path, number):
    background = Background(tmp_path / "utilisation_0.csv", 0.1)
    background.begin()
    (sampler,) = samplers_of(background.file)
    os.kill(sampler.pid, number)
    count = len(rows(background.file)) if background.file.exists() else 0
    wait_for(lambda: background.file.exists() and len(rows(background.file)) > count + 1)
    background.end()
    assert not any("failed" in reason for reason in background.absent)


def test_a_sampler_that_was_killed_leaves_its_samples_and_a_reason(tmp_path, powercap):
    background = Background(tmp_path / "utilisation_0.csv", 0.1, powercap=powercap.folder)
    background.begin()
    wait_for(lambda: background.file.exists() and len(rows(background.file)) > 2)
    (sampler,) = samplers_of(background.file)
    sampler.kill()
    assert background.end() == {}
    assert background.absent[-1] == "the sampler failed: no answer"
    assert read_usage(background.file).samples > 2


def test_a_file_that_cannot_be_written_is_a_reason_not_an_error(tmp_path):
    (tmp_path / "file").touch()
    background = Background(tmp_path / "file" / "utilisation_0.csv", 0.1)
    background.begin()
    background.end()
    assert background.absent[-1].startswith("the sampler failed: ")
    assert "Not a directory" in background.absent[-1] or "File exists" in background.absent[-1]


def test_a_sampler_that_does_not_start_is_a_reason_not_an_error(tmp_path, monkeypatch):
    monkeypatch.setattr(
        "cloudmask.machine.sensors.sampler_process.SAMPLER", "cloudmask.machine.sensors.nowhere"
    )
    background = Background(tmp_path / "utilisation_0.csv", 0.1)
    background.begin()
    background.end()
    assert "No module named cloudmask.machine.sensors.nowhere" in background.absent[-1]


def test_a_sampler_that_hangs_is_ended_for_a_reason(tmp_path, monkeypatch):
    monkeypatch.setattr("cloudmask.machine.sensors.sampler_process.PATIENCE", 1.0)
    background = Background(tmp_path / "utilisation_0.csv", 0.1)
    (sampler,) = samplers_of(background.file)
    sampler.suspend()
    background.begin()
    background.end()
    assert background.absent == ["the sampler did not answer within 1 s"]
    assert samplers_of(background.file) == []


def test_gpus_tell_energy_load_and_memory(tmp_path, nvidia_driver):
    gpus = ["0000:17:00.0", "0000:65:00.0"]
    background = Background(tmp_path / "utilisation_0.csv", 0.1, gpus, tmp_path / "nowhere")
    background.begin()
    assert background.measures_power
    time.sleep(2)
    background.end()
    usage = read_usage(background.file)
    assert set(usage.joules) == {"gpu-0", "gpu-1"}
    for joules in usage.joules.values():  # by counter and by power over time alike
        assert joules == pytest.approx(100 * usage.seconds, rel=0.1)
    assert usage.figures["gpu_percent"] == 87
    assert usage.figures["gpu_memory_gib"] == 3


def test_a_gpu_that_the_driver_does_not_know_is_absent(tmp_path, nvidia_driver):
    background = Background(tmp_path / "utilisation_0.csv", 0.1, ["0000:99:00.0"])
    background.begin()
    background.end()
    assert "the GPUs do not tell (Not Found)" in background.absent
