"""How many threads torch computes with on a CPU: a process's share of the cores it may use."""

from __future__ import annotations

import torch

from cloudmask.machine.system.cgroups import usable_cores


def limit_threads(cores: int | None = None) -> None:
    """Let torch use at most so many threads in this process; without a number, the usable cores.

    Torch itself goes by the affinity, or by OMP_NUM_THREADS, and knows no quota of CPU time. With
    more threads than the quota has cores, all of them stand still for most of each period.
    """
    cores = usable_cores() if cores is None else cores
    torch.set_num_threads(max(1, min(torch.get_num_threads(), cores)))
