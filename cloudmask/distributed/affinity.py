"""CPU affinity: binds each rank to cores of the NUMA node of its GPU."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

SYSFS = Path("/sys")


def bind_to_gpu(gpus: Sequence[str], local_rank: int) -> bool:
    """Bind this process and its future children to its share of the cores of its GPU's NUMA node.

    Linux then allocates their memory on the same NUMA node. `gpus` are the PCI addresses of the
    GPUs of all ranks of the node. Returns whether the affinity was changed.
    """
    cores = cores_of_rank(gpus, local_rank, os.sched_getaffinity(0))
    if cores:
        os.sched_setaffinity(0, cores)
    return bool(cores)


def cores_of_rank(
    gpus: Sequence[str], local_rank: int, allowed: set[int], sysfs: Path = SYSFS
) -> set[int]:
    """A rank's share of the allowed cores of its GPU's NUMA node; both threads of a core together.

    Empty if the machine has one NUMA node only, or the GPU's is unknown, or none of its cores is
    allowed: then the scheduler decides.
    """
    try:
        if len(list((sysfs / "devices/system/node").glob("node[0-9]*"))) < 2:
            return set()
        numa_nodes = [_numa_node(gpu, sysfs) for gpu in gpus]
        node = numa_nodes[local_rank]
        if node < 0:  # unknown to the firmware
            return set()
        cores = _numbers((sysfs / f"devices/system/node/node{node}/cpulist").read_text())
        usable = sorted(cores & allowed, key=lambda core: (_first_sibling(core, sysfs), core))
    except (OSError, ValueError):
        return set()
    ranks = [rank for rank, other in enumerate(numa_nodes) if other == node]
    position = ranks.index(local_rank)
    first, stop = (at * len(usable) // len(ranks) for at in (position, position + 1))
    return set(usable[first:stop])


def _numa_node(gpu: str, sysfs: Path) -> int:
    return int((sysfs / f"bus/pci/devices/{gpu}/numa_node").read_text())


def _first_sibling(core: int, sysfs: Path) -> int:
    siblings = sysfs / f"devices/system/cpu/cpu{core}/topology/thread_siblings_list"
    return min(_numbers(siblings.read_text()))


def _numbers(ranges: str) -> set[int]:
    """The numbers of a kernel list such as 0-23,48-71."""
    numbers: set[int] = set()
    for item in ranges.strip().split(","):
        first, _, last = item.partition("-")
        numbers.update(range(int(first), int(last or first) + 1))
    return numbers
