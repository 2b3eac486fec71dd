"""The cores of a rank: its share of those next to its GPU, on machines where distance counts."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

SYSFS = Path("/sys")


def bind_to_gpu(gpus: Sequence[str], local_rank: int) -> bool:
    """Keep this process, and those it will start, on its share of the cores next to its GPU.

    Linux then takes their memory from the same NUMA node. `gpus` are the PCI addresses of the
    GPUs of all ranks of the node. Returns whether anything was changed.
    """
    cores = cores_next_to(gpus, local_rank, os.sched_getaffinity(0))
    if cores:
        os.sched_setaffinity(0, cores)
    return bool(cores)


def cores_next_to(
    gpus: Sequence[str], local_rank: int, allowed: set[int], sysfs: Path = SYSFS
) -> set[int]:
    """The share of a rank in the allowed cores of its GPU's NUMA node, whole cores if they last.

    Empty if the machine has one NUMA node, or does not tell which is near, or none of the cores
    is allowed: then the system's scheduler decides.
    """
    try:
        if len(list((sysfs / "devices/system/node").glob("node[0-9]*"))) < 2:
            return set()
        near = [_numa_node(gpu, sysfs) for gpu in gpus]
        node = near[local_rank]
        if node < 0:  # unknown to the firmware
            return set()
        cores = _numbers((sysfs / f"devices/system/node/node{node}/cpulist").read_text())
        # The threads of a physical core stand together.
        usable = sorted(cores & allowed, key=lambda core: (_first_sibling(core, sysfs), core))
    except (OSError, ValueError):
        return set()
    sharers = [rank for rank, other in enumerate(near) if other == node]
    position, sharing = sharers.index(local_rank), len(sharers)
    first = position * len(usable) // sharing
    return set(usable[first : (position + 1) * len(usable) // sharing])


def _numa_node(gpu: str, sysfs: Path) -> int:
    return int((sysfs / f"bus/pci/devices/{gpu}/numa_node").read_text())


def _first_sibling(core: int, sysfs: Path) -> int:
    siblings = sysfs / f"devices/system/cpu/cpu{core}/topology/thread_siblings_list"
    return min(_numbers(siblings.read_text()))


def _numbers(ranges: str) -> set[int]:
    """The numbers of a kernel list such as 0-23,48-71."""
    numbers: set[int] = set()
    for part in ranges.strip().split(","):
        first, _, last = part.partition("-")
        numbers.update(range(int(first), int(last or first) + 1))
    return numbers
