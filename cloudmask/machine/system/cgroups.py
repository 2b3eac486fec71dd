"""Memory and CPU time, as containers and batch systems limit them by cgroups, v1 and v2.

The limits of a process are those of its own cgroup and of all above it, up to the mount point.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

import psutil

from cloudmask.machine.system.file_system import mounts
from cloudmask.machine.system.kernel_files import ROOT, read, read_number

# v1 reports no memory limit as the largest multiple of a page in 63 bits.
UNLIMITED_BYTES = 1 << 60
# Files of v2 and v1: limit and use in bytes, key of inactive file cache in memory.stat.
MEMORY_FILES = (
    ("memory.max", "memory.current", "inactive_file"),
    ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"),
)


def usable_cores() -> int:
    """CPU cores that this process may use: the affinity's, at most the quota rounded up.

    Where the system has no affinity, as macOS, they are those of the machine.
    """
    affinity = getattr(os, "sched_getaffinity", None)
    cores = len(affinity(0)) if affinity else os.cpu_count() or 1
    quota = core_quota()
    return cores if quota is None else max(1, min(cores, math.ceil(quota)))


def available_memory() -> int:
    """Bytes available to this process, by the machine and by its cgroups."""
    available = int(psutil.virtual_memory().available)
    free = free_memory()
    return available if free is None else min(available, free)


def memory_limit(root: Path = ROOT) -> int | None:
    """The smallest memory limit in bytes; None without one."""
    return min((limit for limit, _ in _memory(root)), default=None)


def free_memory(root: Path = ROOT) -> int | None:
    """Bytes left below the tightest memory limit; None without one.

    Inactive page cache does not count as used: the kernel drops it before it ends a process.
    """
    return min((max(0, limit - used) for limit, used in _memory(root)), default=None)


def out_of_memory_kills(root: Path = ROOT) -> int:
    """Number of processes that the kernel killed because memory ran out, here or in a cgroup."""
    fields = dict(line.split() for line in read(root / "proc/vmstat").splitlines())
    return int(fields.get("oom_kill", 0))


def core_quota(root: Path = ROOT) -> float | None:
    """The smallest quota of CPU time in cores, 0.5 for instance; None without one."""
    quotas = []
    for folder in _folders(root, "cpu"):
        quota, _, period = read(folder / "cpu.max").partition(" ")
        if not quota:
            quota, period = (read(folder / f"cpu.cfs_{name}_us") for name in ("quota", "period"))
        if quota.isdecimal() and period.isdecimal() and int(quota) and int(period):
            quotas.append(int(quota) / int(period))
    return min(quotas, default=None)


def _memory(root: Path) -> Iterator[tuple[int, int]]:
    """Limit and use in bytes of each cgroup that has a limit."""
    for folder in _folders(root, "memory"):
        for limit_name, used_name, cache_name in MEMORY_FILES:
            limit = read(folder / limit_name)
            if limit.isdecimal() and int(limit) < UNLIMITED_BYTES:
                statistics = dict(map(str.split, read(folder / "memory.stat").splitlines()))
                cache = int(statistics.get(cache_name, 0))
                yield int(limit), read_number(folder / used_name) - cache


def _folders(root: Path, controller: str) -> Iterator[Path]:
    """The folders of this process's cgroups with a controller, the mount points last."""
    paths = dict(_paths(root))
    for mount in mounts(root):
        if mount.kind == "cgroup2":
            path = paths.get("")
        elif mount.kind == "cgroup" and controller in mount.options:
            path = paths.get(controller)
        else:
            continue
        if path is not None:
            below = _below(path, mount.top)
            for part in (below, *below.parents):
                yield root / mount.point.relative_to("/") / part


def _paths(root: Path) -> Iterator[tuple[str, str]]:
    """This process's cgroup by controller of v1; '' for v2."""
    for line in read(root / "proc/self/cgroup").splitlines():
        _, controllers, path = line.split(":", 2)
        for controller in controllers.split(","):
            yield controller, path


def _below(path: str, top: str) -> PurePosixPath:
    """A cgroup relative to the mounted one, which in containers often is not the topmost."""
    cgroup = PurePosixPath(path)
    inside = cgroup.is_relative_to(top) and ".." not in cgroup.parts
    return cgroup.relative_to(top) if inside else PurePosixPath()
