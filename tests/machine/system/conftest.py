"""Machines as trees of files, such as the kernel shows them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.machine.fake_driver import nvidia_driver

__all__ = ["nvidia_driver"]

CPU = """\
processor\t: {number}
model name\t: Intel(R) Xeon(R) Platinum 8168 CPU @ 2.70GHz
cpu MHz\t\t: 1200.000
flags\t\t: fpu avx512f

"""


def write(root: Path, files: dict[str, object]) -> None:
    """Files with their text."""
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"{text}\n")


@pytest.fixture
def add(tmp_path: Path) -> Callable[[dict[str, object]], None]:
    """Adds files to the machine in tmp_path."""
    return lambda files: write(tmp_path, files)


@pytest.fixture
def dgx(tmp_path: Path) -> Path:
    """Two processors of two cores of two threads, disks, links, and a maker."""
    write(tmp_path, {"proc/cpuinfo": "".join(CPU.format(number=number) for number in range(8))})
    for number in range(8):
        package, core = number // 2 % 2, number % 2
        sharers = f"{number % 4},{number % 4 + 4}"
        cpu = f"sys/devices/system/cpu/cpu{number}"
        write(
            tmp_path,
            {
                f"{cpu}/topology/physical_package_id": package,
                f"{cpu}/topology/core_id": core,
                f"{cpu}/cpufreq/base_frequency": 2_700_000,
                f"{cpu}/cpufreq/cpuinfo_max_freq": 3_700_000,
                **cache(cpu, 0, 1, "Data", "32K", sharers),
                **cache(cpu, 1, 1, "Instruction", "32K", sharers),
                **cache(cpu, 2, 2, "Unified", "1024K", sharers),
                **cache(cpu, 3, 3, "Unified", "33792K", f"package {package}"),
            },
        )
    for number in range(8):
        disk(tmp_path, f"nvme{number}n1", 7_501_476_528, model="KCM5DRUG3T84")
    disk(tmp_path, "sda", 937_703_088, rotational=0)
    disk(tmp_path, "sdb", 60_000_000, removable=1)
    disk(tmp_path, "sr0", 0)
    write(tmp_path, {"sys/block/loop0/size": 100_000})
    for number in range(8):
        port = f"sys/class/infiniband/mlx5_{number}/ports/1"
        write(tmp_path, {f"{port}/link_layer": "InfiniBand", f"{port}/rate": "100 Gb/sec (4X EDR)"})
    write(
        tmp_path,
        {
            "sys/class/net/enp6s0/type": 1,
            "sys/class/net/enp6s0/speed": 100_000,
            "sys/class/net/enp6s0/device/vendor": "0x15b3",
            "sys/class/net/lo/type": 772,
            "sys/class/net/docker0/type": 1,
            "proc/meminfo": "MemTotal:       1583436800 kB",
            "etc/os-release": 'NAME="Ubuntu"\nPRETTY_NAME="Ubuntu 24.04.1 LTS"',
            "sys/class/dmi/id/sys_vendor": "NVIDIA",
            "sys/class/dmi/id/product_name": "DGX-2",
        },
    )
    for number in range(24):
        module = f"sys/devices/system/edac/mc/mc{number // 12}/dimm{number % 12}"
        write(tmp_path, {f"{module}/size": 65536, f"{module}/dimm_mem_type": "Registered-DDR4"})
    return tmp_path


def cache(
    cpu: str, index: int, level: int, kind: str, size: str, sharers: str
) -> dict[str, object]:
    """One cache of a processor thread."""
    folder = f"{cpu}/cache/index{index}"
    return {
        f"{folder}/level": level,
        f"{folder}/type": kind,
        f"{folder}/size": size,
        f"{folder}/shared_cpu_list": sharers,
    }


def disk(
    root: Path, name: str, sectors: int, rotational: int = 0, removable: int = 0, model: str = ""
) -> None:
    """One disk with a device behind it."""
    folder = f"sys/block/{name}"
    files: dict[str, object] = {
        f"{folder}/size": sectors,
        f"{folder}/removable": removable,
        f"{folder}/queue/rotational": rotational,
        f"{folder}/device/model": model,
    }
    write(root, files)
