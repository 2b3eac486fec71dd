"""Energy, load and memory of NVIDIA GPUs, from their driver (NVML)."""

from __future__ import annotations

import time
from collections.abc import Sequence

import pynvml

from cloudmask.machine.sensors.absent import AbsentError


class Gpus:
    """The GPUs with these PCI addresses.

    Energy is the driver's counter (Volta and newer); else power, held over the time between two
    readings.

    Raises:
        AbsentError: there is no GPU to look at, or no driver that answers.
    """

    def __init__(self, addresses: Sequence[str]) -> None:
        """Find the GPUs; energy is counted from the first reading."""
        if not addresses:
            raise AbsentError("no GPU in the run")
        try:
            pynvml.nvmlInit()
            self._gpus = [
                _Gpu(pynvml.nvmlDeviceGetHandleByPciBusId(address)) for address in addresses
            ]
        except pynvml.NVMLError as error:
            raise AbsentError(f"the GPUs do not tell ({error})") from error

    def read(self) -> dict[str, float]:
        """Load in percent, memory in GiB and joules since the first reading, by column."""
        row: dict[str, float] = {}
        for number, gpu in enumerate(self._gpus):
            for name, value in gpu.read().items():
                row[f"gpu-{number}_{name}"] = value
        return row


class _Gpu:
    def __init__(self, handle: object) -> None:
        self._handle = handle
        self._first: float | None = None
        self._joules, self._since = 0.0, 0.0
        try:
            pynvml.nvmlDeviceGetTotalEnergyConsumption(handle)
            self._energy = self._counted
        except pynvml.NVMLError:
            pynvml.nvmlDeviceGetPowerUsage(handle)
            self._energy = self._integrated

    def read(self) -> dict[str, float]:
        energy = self._energy()
        if self._first is None:
            self._first = energy
        memory = pynvml.nvmlDeviceGetMemoryInfo(self._handle).used / 2**30
        load = pynvml.nvmlDeviceGetUtilizationRates(self._handle).gpu
        return {"percent": load, "memory_gib": memory, "joules": energy - self._first}

    def _counted(self) -> float:
        return float(pynvml.nvmlDeviceGetTotalEnergyConsumption(self._handle)) / 1e3

    def _integrated(self) -> float:
        now = time.monotonic()
        watts = pynvml.nvmlDeviceGetPowerUsage(self._handle) / 1e3
        self._joules += watts * (now - self._since) if self._since else 0.0
        self._since = now
        return self._joules
