"""Accelerators of the node, from the NVIDIA driver (NVML)."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pynvml

from cloudmask.machine.system.kernel_files import ROOT, count_equal, gib, read

FIELDS = (
    "accelerators_per_node",
    "accelerator_model_name",
    "accelerator_host_interconnect",
    "accelerator_frequency",
    "accelerator_on-chip_memories",
    "accelerator_memory_configuration",
    "accelerator_memory_capacity",
    "accelerator_interconnect",
    "accelerator_interconnect_topology",
)
# PCI classes: 3D controller, processing accelerator.
ACCELERATOR_CLASSES = ("0x0302", "0x1200")


def describe_accelerators(root: Path = ROOT) -> dict[str, str]:
    """The accelerator fields; those of single GPUs are of the first one.

    Without the driver, the number is 0 if the PCI bus has no accelerator, else unknown.
    """
    fields = dict.fromkeys(FIELDS, "")
    try:
        pynvml.nvmlInit()
        gpus = [
            pynvml.nvmlDeviceGetHandleByIndex(number)
            for number in range(pynvml.nvmlDeviceGetCount())
        ]
    except pynvml.NVMLError:
        fields["accelerators_per_node"] = "" if _on_pci_bus(root) else "0"
        return fields
    fields["accelerators_per_node"] = str(len(gpus))
    if gpus:
        first = gpus[0]
        fields["accelerator_model_name"] = _models(gpus)
        fields["accelerator_host_interconnect"] = _value_or_empty(partial(_pcie, first))
        fields["accelerator_frequency"] = _value_or_empty(partial(_frequency, first))
        fields["accelerator_memory_configuration"] = _value_or_empty(partial(_bus_width, first))
        fields["accelerator_memory_capacity"] = _value_or_empty(partial(_capacity, first))
        fields["accelerator_interconnect"] = _value_or_empty(partial(_nvlink, first))
        fields["accelerator_interconnect_topology"] = _value_or_empty(partial(_switch, first))
    return fields


def driver_version() -> str:
    """Version of the NVIDIA driver; '' without one."""
    try:
        pynvml.nvmlInit()
        return str(pynvml.nvmlSystemGetDriverVersion())
    except pynvml.NVMLError:
        return ""


def _value_or_empty(query: Callable[[], str]) -> str:
    """The value of a driver query; '' if this GPU does not support it."""
    try:
        return query()
    except pynvml.NVMLError:
        return ""


def _on_pci_bus(root: Path) -> bool:
    devices = (root / "sys/bus/pci/devices").glob("*/class")
    return any(read(device).startswith(ACCELERATOR_CLASSES) for device in devices)


def _models(gpus: list[Any]) -> str:
    names = [_value_or_empty(partial(_name, gpu)) for gpu in gpus]
    return names[0] if len(set(names)) == 1 else count_equal(names)


def _name(gpu: Any) -> str:
    return str(pynvml.nvmlDeviceGetName(gpu))


def _pcie(gpu: Any) -> str:
    generation = pynvml.nvmlDeviceGetMaxPcieLinkGeneration(gpu)
    return f"PCIe {generation}.0 x{pynvml.nvmlDeviceGetMaxPcieLinkWidth(gpu)}"


def _frequency(gpu: Any) -> str:
    return f"{pynvml.nvmlDeviceGetMaxClockInfo(gpu, pynvml.NVML_CLOCK_SM)} MHz maximum"


def _bus_width(gpu: Any) -> str:
    return f"{pynvml.nvmlDeviceGetMemoryBusWidth(gpu)}-bit bus"


def _capacity(gpu: Any) -> str:
    return gib(pynvml.nvmlDeviceGetMemoryInfo(gpu).total)


def _links(gpu: Any) -> list[int]:
    """The active NVLinks."""
    numbers = range(pynvml.NVML_NVLINK_MAX_LINKS)
    return [link for link in numbers if _value_or_empty(partial(_state, gpu, link)) == "up"]


def _state(gpu: Any, link: int) -> str:
    return "up" if pynvml.nvmlDeviceGetNvLinkState(gpu, link) else "down"


def _nvlink(gpu: Any) -> str:
    # The generation is not available from all drivers.
    links = _links(gpu)
    return f"{len(links)} x NVLink" if links else ""


def _switch(gpu: Any) -> str:
    switch = pynvml.NVML_NVLINK_DEVICE_TYPE_SWITCH
    kinds = [pynvml.nvmlDeviceGetNvLinkRemoteDeviceType(gpu, link) for link in _links(gpu)]
    return "NVSwitch" if switch in kinds else ""
