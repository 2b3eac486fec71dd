"""Memory, storage, network, operating system and container of the node."""

import os
import platform
from collections.abc import Iterator, Mapping
from pathlib import Path

from cloudmask.machine.system.cgroups import core_quota, memory_limit
from cloudmask.machine.system.kernel_files import ROOT, count_equal, gib, read, read_number
from cloudmask.machine.system.processors import cpu_information

SECTOR = 512  # bytes; the unit of /sys/block/*/size for all disks
ETHERNET = "1"  # of /sys/class/net/*/type
# Files and variables that container engines set inside a container.
CONTAINER_FILES = {".dockerenv": "Docker", "run/.containerenv": "Podman"}
CONTAINER_VARIABLES = {
    "APPTAINER_NAME": "Apptainer",
    "SINGULARITY_NAME": "Singularity",
    "KUBERNETES_SERVICE_HOST": "Kubernetes",
}


def describe_node(root: Path = ROOT, environment: Mapping[str, str] = os.environ) -> dict[str, str]:
    """The fields of memory, storage, network and operating system, and the hardware notes."""
    disks = list(_disks(root))
    return {
        "host_memory_capacity": _memory(root),
        "host_memory_configuration": _memory_modules(root),
        "host_storage_type": count_equal(kind for kind, _ in disks),
        "host_storage_capacity": count_equal(_decimal(size) for _, size in disks),
        "host_networking": count_equal(_links(root)),
        "operating_system": _operating_system(root),
        "hw_notes": "; ".join(_hardware_notes(root, environment)),
    }


def _memory(root: Path) -> str:
    for line in read(root / "proc/meminfo").splitlines():
        if line.startswith("MemTotal:"):
            return gib(1024 * int(line.split()[1]))
    return ""


def _memory_modules(root: Path) -> str:
    """From the driver of the memory controller (EDAC); '' without it."""
    modules = sorted((root / "sys/devices/system/edac/mc").glob("mc*/dimm*"))
    return count_equal(
        f"{gib(2**20 * size)} {read(module / 'dimm_mem_type')}"
        for module in modules
        if (size := read_number(module / "size"))
    )


def _disks(root: Path) -> Iterator[tuple[str, int]]:
    """Kind and bytes of every physical disk that is not removable."""
    for disk in sorted((root / "sys/block").glob("*")):
        size = SECTOR * read_number(disk / "size")
        if not (disk / "device").exists() or not size or read_number(disk / "removable"):
            continue
        if disk.name.startswith("nvme"):
            kind = "NVMe SSD"
        elif disk.name.startswith(("vd", "xvd")):
            kind = "virtual disk"
        else:
            kind = "hard disk" if read_number(disk / "queue/rotational") else "SSD"
        model = read(disk / "device/model")
        yield f"{kind} ({model})" if model else kind, size


def _decimal(size: int) -> str:
    """Bytes in TB or GB, as disks are sold."""
    return f"{size / 1e12:.4g} TB" if size >= 1e12 else f"{size / 1e9:.4g} GB"


def _links(root: Path) -> Iterator[str]:
    """All InfiniBand ports and physical Ethernet interfaces, with their speed if known."""
    for port in sorted((root / "sys/class/infiniband").glob("*/ports/*")):
        if read(port / "link_layer") == "InfiniBand":
            yield f"InfiniBand {read(port / 'rate')}"
    for interface in sorted((root / "sys/class/net").glob("*")):
        if not (interface / "device").exists() or read(interface / "type") != ETHERNET:
            continue
        speed = read_number(interface / "speed")  # Mbit/s, -1 if unknown
        driver = (interface / "device/driver").resolve().name
        if speed > 0:
            yield f"Ethernet {speed / 1000:g} Gbit/s"
        else:
            yield f"Ethernet ({driver})" if (interface / "device/driver").exists() else "Ethernet"


def _operating_system(root: Path) -> str:
    pairs = (line.partition("=") for line in read(root / "etc/os-release").splitlines())
    name = {key: value.strip('"') for key, _, value in pairs}.get("PRETTY_NAME", "")
    return f"{name}, Linux {platform.release()}".removeprefix(", ")


def _hardware_notes(root: Path, environment: Mapping[str, str]) -> Iterator[str]:
    """Vendor and model of the machine, virtualisation, containers and resource limits."""
    firmware = root / "sys/class/dmi/id"
    if machine := f"{read(firmware / 'sys_vendor')} {read(firmware / 'product_name')}".strip():
        yield machine
    if "hypervisor" in cpu_information(root).get("flags", "").split():
        yield "virtual machine"
    engines = [name for file, name in CONTAINER_FILES.items() if (root / file).exists()]
    engines += [name for key, name in CONTAINER_VARIABLES.items() if environment.get(key)]
    if engines:
        yield f"in a container ({', '.join(engines)})"
    if (limit := memory_limit(root)) is not None:
        yield f"memory limited to {gib(limit)}"
    if (quota := core_quota(root)) is not None:
        yield f"processors limited to {quota:g} cores"
