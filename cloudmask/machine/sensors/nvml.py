"""Energy, load and memory of NVIDIA GPUs, from their driver (NVML)."""

import time
from collections.abc import Sequence

import pynvml

from cloudmask.machine.sensors.sensor_error import SensorError


class NvmlGpus:
    """The GPUs with these PCI addresses.

    Energy is the driver's counter (Volta and newer), or else the power integrated over time.

    Raises:
        SensorError: there is no GPU, or its driver cannot be queried.
    """

    def __init__(self, addresses: Sequence[str]) -> None:
        """Open the GPUs; energy counts from the first reading."""
        if not addresses:
            raise SensorError("no GPU in the run")
        try:
            pynvml.nvmlInit()
            self._gpus = [
                _Gpu(pynvml.nvmlDeviceGetHandleByPciBusId(address)) for address in addresses
            ]
        except pynvml.NVMLError as error:
            raise SensorError(f"the GPUs cannot be queried ({error})") from error

    def read(self) -> dict[str, float]:
        """Load in percent, memory in GiB and joules since the first reading, by column."""
        return {
            f"gpu-{number}_{name}": value
            for number, gpu in enumerate(self._gpus)
            for name, value in gpu.read().items()
        }


class _Gpu:
    def __init__(self, handle: object) -> None:
        self._handle = handle
        self._first: float | None = None
        self._joules, self._since = 0.0, 0.0
        try:
            pynvml.nvmlDeviceGetTotalEnergyConsumption(handle)
            self._energy = self._counter_joules
        except pynvml.NVMLError:
            pynvml.nvmlDeviceGetPowerUsage(handle)
            self._energy = self._integrated_joules

    def read(self) -> dict[str, float]:
        energy = self._energy()
        if self._first is None:
            self._first = energy
        memory = pynvml.nvmlDeviceGetMemoryInfo(self._handle).used / 2**30
        load = pynvml.nvmlDeviceGetUtilizationRates(self._handle).gpu
        return {"percent": load, "memory_gib": memory, "joules": energy - self._first}

    def _counter_joules(self) -> float:
        return float(pynvml.nvmlDeviceGetTotalEnergyConsumption(self._handle)) / 1e3

    def _integrated_joules(self) -> float:
        now = time.monotonic()
        watts = pynvml.nvmlDeviceGetPowerUsage(self._handle) / 1e3
        self._joules += watts * (now - self._since) if self._since else 0.0
        self._since = now
        return self._joules
