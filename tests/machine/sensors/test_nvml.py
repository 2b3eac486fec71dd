"""GPUs by their driver, and by a fake of its functions: energy by counter and by power."""

from __future__ import annotations

from types import SimpleNamespace

import pynvml
import pytest

from cloudmask.machine.sensors import nvml
from cloudmask.machine.sensors.nvml import NvmlGpus
from cloudmask.machine.sensors.sensor_error import SensorError


class Driver:
    """One GPU, whose power, energy and time a test sets."""

    def __init__(self, monkeypatch, has_counter):
        self.watts, self.joules, self.now = 100.0, 7.0, 50.0
        self.has_counter = has_counter
        for name, function in {
            "nvmlInit": lambda: None,
            "nvmlDeviceGetHandleByPciBusId": lambda address: address,
            "nvmlDeviceGetTotalEnergyConsumption": self.energy,
            "nvmlDeviceGetPowerUsage": lambda handle: round(self.watts * 1000),
            "nvmlDeviceGetMemoryInfo": lambda handle: SimpleNamespace(used=3 * 2**29),
            "nvmlDeviceGetUtilizationRates": lambda handle: SimpleNamespace(gpu=87, memory=40),
        }.items():
            monkeypatch.setattr(pynvml, name, function)
        monkeypatch.setattr(nvml.time, "monotonic", lambda: self.now)

    def energy(self, handle):
        if not self.has_counter:
            raise pynvml.NVMLError(pynvml.NVML_ERROR_NOT_SUPPORTED)
        return round(self.joules * 1000)


def test_energy_is_the_counter_less_its_first_reading(monkeypatch):
    driver = Driver(monkeypatch, has_counter=True)
    gpus = NvmlGpus(["0000:17:00.0", "0000:65:00.0"])
    assert gpus.read()["gpu-1_joules"] == 0
    driver.joules = 19.5
    assert gpus.read() == {
        f"gpu-{number}_{name}": value
        for number in range(2)
        for name, value in {"percent": 87, "memory_gib": 1.5, "joules": 12.5}.items()
    }


def test_without_a_counter_power_is_integrated_over_the_time_between_readings(monkeypatch):
    driver = Driver(monkeypatch, has_counter=False)
    gpus = NvmlGpus(["0000:17:00.0"])
    assert gpus.read()["gpu-0_joules"] == 0
    driver.now += 2
    assert gpus.read()["gpu-0_joules"] == 200
    driver.now, driver.watts = driver.now + 0.5, 300.0
    assert gpus.read()["gpu-0_joules"] == 350


def test_no_gpu_and_no_driver_are_unavailable_with_a_reason(monkeypatch):
    with pytest.raises(SensorError, match="no GPU in the run"):
        NvmlGpus([])

    def no_library():
        raise pynvml.NVMLError(pynvml.NVML_ERROR_LIBRARY_NOT_FOUND)

    monkeypatch.setattr(pynvml, "nvmlInit", no_library)
    with pytest.raises(SensorError, match=r"the GPUs cannot be queried \(.*Not Found"):
        NvmlGpus(["0000:17:00.0"])
