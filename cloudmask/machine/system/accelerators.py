"""NVIDIA GPUs of the node, from their driver (NVML)."""

from collections.abc import Callable
from contextlib import suppress
from functools import wraps
from pathlib import Path
from typing import Any

import pynvml

from cloudmask.machine.system.kernel_files import ROOT, count_equal, gib, read

FIELDS = (
    *("accelerators_per_node", "accelerator_model_name", "accelerator_host_interconnect"),
    *("accelerator_frequency", "accelerator_on-chip_memories", "accelerator_memory_configuration"),
    *("accelerator_memory_capacity", "accelerator_interconnect"),
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
        names, first = [_name(gpu) for gpu in gpus], gpus[0]
        fields["accelerator_model_name"] = names[0] if len({*names}) == 1 else count_equal(names)
        fields["accelerator_host_interconnect"] = _pcie(first)
        fields["accelerator_frequency"] = _frequency(first)
        fields["accelerator_memory_configuration"] = _bus_width(first)
        fields["accelerator_memory_capacity"] = _capacity(first)
        fields["accelerator_interconnect"] = _nvlink(first)
        fields["accelerator_interconnect_topology"] = _switch(first)
    return fields


def _empty_if_unsupported(query: Callable[..., str]) -> Callable[..., str]:
    """The query of a driver, which is '' where driver or GPU do not support it."""

    @wraps(query)
    def supported(*arguments: Any) -> str:
        try:
            return query(*arguments)
        except pynvml.NVMLError:
            return ""

    return supported


@_empty_if_unsupported
def driver_version() -> str:
    """Version of the NVIDIA driver; '' without one."""
    pynvml.nvmlInit()
    return str(pynvml.nvmlSystemGetDriverVersion())


def _on_pci_bus(root: Path) -> bool:
    devices = (root / "sys/bus/pci/devices").glob("*/class")
    return any(read(device).startswith(ACCELERATOR_CLASSES) for device in devices)


@_empty_if_unsupported
def _name(gpu: Any) -> str:
    return str(pynvml.nvmlDeviceGetName(gpu))


@_empty_if_unsupported
def _pcie(gpu: Any) -> str:
    generation = pynvml.nvmlDeviceGetMaxPcieLinkGeneration(gpu)
    return f"PCIe {generation}.0 x{pynvml.nvmlDeviceGetMaxPcieLinkWidth(gpu)}"


@_empty_if_unsupported
def _frequency(gpu: Any) -> str:
    return f"{pynvml.nvmlDeviceGetMaxClockInfo(gpu, pynvml.NVML_CLOCK_SM)} MHz maximum"


@_empty_if_unsupported
def _bus_width(gpu: Any) -> str:
    return f"{pynvml.nvmlDeviceGetMemoryBusWidth(gpu)}-bit bus"


@_empty_if_unsupported
def _capacity(gpu: Any) -> str:
    return gib(pynvml.nvmlDeviceGetMemoryInfo(gpu).total)


def _active_links(gpu: Any) -> list[int]:
    links = []
    for link in range(pynvml.NVML_NVLINK_MAX_LINKS):
        with suppress(pynvml.NVMLError):
            if pynvml.nvmlDeviceGetNvLinkState(gpu, link):
                links.append(link)
    return links


def _nvlink(gpu: Any) -> str:
    links = _active_links(gpu)  # their generation is not available from all drivers
    return f"{len(links)} x NVLink" if links else ""


@_empty_if_unsupported
def _switch(gpu: Any) -> str:
    switch = pynvml.NVML_NVLINK_DEVICE_TYPE_SWITCH
    links = _active_links(gpu)
    kinds = [pynvml.nvmlDeviceGetNvLinkRemoteDeviceType(gpu, link) for link in links]
    return "NVSwitch" if switch in kinds else ""
