"""Limits of cgroups, v1 and v2, from files as the kernel shows them, and those of this machine."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from cloudmask.machine.system import cgroups
from cloudmask.machine.system.cgroups import (
    available_memory,
    core_quota,
    free_memory,
    memory_limit,
    usable_cores,
)
from tests.paths import ROOT

GIB = 2**30
V2 = "sys/fs/cgroup"
JOB = f"{V2}/system.slice/slurmstepd.scope/job_7"
MOUNT_V2 = "30 23 0:27 / /sys/fs/cgroup rw,nosuid shared:9 - cgroup2 cgroup2 rw,nsdelegate"
MOUNTS_V1 = """\
31 23 0:28 / /sys/fs/cgroup ro - tmpfs tmpfs ro,mode=755
32 31 0:29 {top} /sys/fs/cgroup/cpu,cpuacct ro,nosuid - cgroup cgroup rw,cpu,cpuacct
33 31 0:30 {top} /sys/fs/cgroup/memory ro,nosuid - cgroup cgroup rw,memory"""


@pytest.fixture
def slurm_v2(add, tmp_path):
    """A step of a job of 2 GiB and 1.5 cores, in a step folder without limits of its own."""
    add(
        {
            "proc/self/cgroup": "0::/system.slice/slurmstepd.scope/job_7/step_0",
            "proc/self/mountinfo": MOUNT_V2,
            f"{V2}/system.slice/memory.max": 8 * GIB,
            f"{V2}/system.slice/memory.current": 5 * GIB,
            f"{JOB}/memory.max": 2 * GIB,
            f"{JOB}/memory.current": GIB,
            f"{JOB}/memory.stat": f"anon 7\nfile {GIB}\ninactive_file {GIB // 4}\nactive_file 9",
            f"{JOB}/cpu.max": "150000 100000",
            f"{JOB}/step_0/memory.max": "max",
            f"{JOB}/step_0/cpu.max": "max 100000",
        }
    )
    return tmp_path


@pytest.fixture(params=["/", "/docker/abc"])
def docker_v1(request, add, tmp_path):
    """A container of 3 GiB and half a core, whose path may be the host's or begin at the mount."""
    below = "" if request.param == "/docker/abc" else "/docker/abc"
    memory, cpu = f"{V2}/memory{below}", f"{V2}/cpu,cpuacct{below}"
    add(
        {
            "proc/self/cgroup": "5:cpu,cpuacct:/docker/abc\n4:memory:/docker/abc\n0::/other",
            "proc/self/mountinfo": MOUNTS_V1.format(top=request.param),
            f"{memory}/memory.limit_in_bytes": 3 * GIB,
            f"{memory}/memory.usage_in_bytes": 2 * GIB,
            f"{memory}/memory.stat": f"inactive_file 5\ntotal_inactive_file {GIB}",
            f"{cpu}/cpu.cfs_quota_us": 50000,
            f"{cpu}/cpu.cfs_period_us": 100000,
        }
    )
    return tmp_path


def test_the_smallest_limit_on_the_path_of_the_process_counts(slurm_v2, add):
    assert memory_limit(slurm_v2) == 2 * GIB
    assert core_quota(slurm_v2) == 1.5
    add({f"{V2}/other/memory.max": 1, f"{V2}/other/cpu.max": "1000 100000"})
    add({f"{V2}/system.slice/cpu.max": "100000 100000", f"{JOB}/step_0/memory.max": GIB})
    assert memory_limit(slurm_v2) == GIB
    assert core_quota(slurm_v2) == 1


def test_free_memory_is_that_of_the_tightest_limit_with_inactive_page_cache(slurm_v2, add):
    assert free_memory(slurm_v2) == GIB + GIB // 4
    add({f"{V2}/system.slice/memory.current": 7 * GIB})
    assert free_memory(slurm_v2) == GIB
    add({f"{V2}/system.slice/memory.current": 9 * GIB})
    assert free_memory(slurm_v2) == 0


def test_limits_of_version_1_are_read_from_the_host_s_tree_and_in_a_container(docker_v1):
    assert memory_limit(docker_v1) == 3 * GIB
    assert free_memory(docker_v1) == 2 * GIB
    assert core_quota(docker_v1) == 0.5


def test_values_that_mean_no_limit_are_none(docker_v1, add):
    for path in docker_v1.rglob("memory.limit_in_bytes"):
        path.write_text("9223372036854771712\n")
    for path in docker_v1.rglob("cpu.cfs_quota_us"):
        path.write_text("-1\n")
    assert memory_limit(docker_v1) is free_memory(docker_v1) is core_quota(docker_v1) is None


@pytest.mark.parametrize(
    "files",
    [
        {},
        {"proc/self/cgroup": "0::/job"},
        {"proc/self/cgroup": "0::/job", "proc/self/mountinfo": MOUNT_V2},
        {"proc/self/cgroup": "1:name=systemd:/", "proc/self/mountinfo": MOUNT_V2},
    ],
)
def test_a_machine_without_such_files_has_no_limit(files, add, tmp_path):
    add(files)
    assert memory_limit(tmp_path) is free_memory(tmp_path) is core_quota(tmp_path) is None


def test_a_process_outside_its_namespace_has_the_limits_of_the_mount_point(add, tmp_path):
    add(
        {
            "proc/self/cgroup": "0::/../../elsewhere",
            "proc/self/mountinfo": MOUNT_V2,
            f"{V2}/memory.max": GIB,
        }
    )
    assert memory_limit(tmp_path) == GIB


@pytest.mark.parametrize(
    ("quota", "cores"), [(None, 3), (8, 3), (3, 3), (1.5, 2), (0.5, 1), (0.01, 1)]
)
def test_a_quota_is_rounded_up_to_cores_of_the_affinity(monkeypatch, quota, cores):
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: {0, 4, 5})
    monkeypatch.setattr(cgroups, "core_quota", lambda: quota)
    assert usable_cores() == cores


@pytest.mark.parametrize(("free", "available"), [(None, 1000), (2000, 1000), (999, 999), (0, 0)])
def test_available_memory_is_what_machine_and_cgroups_both_allow(monkeypatch, free, available):
    memory = SimpleNamespace(available=1000, free=1)
    monkeypatch.setattr(cgroups.psutil, "virtual_memory", lambda: memory)
    monkeypatch.setattr(cgroups, "free_memory", lambda: free)
    assert available_memory() == available


@pytest.fixture
def real_cgroup():
    """A cgroup of version 1 of this machine with a limit of 1 GiB, without processes."""
    parent = Path("/sys/fs/cgroup/memory")
    own = dict(cgroups._paths(cgroups.ROOT)).get("memory", "/").lstrip("/")
    folder = parent / own / f"cloudmask_test_{os.getpid()}"
    try:
        folder.mkdir()
    except OSError as error:
        pytest.skip(f"no cgroup can be made here ({error.strerror})")
    (folder / "memory.limit_in_bytes").write_text(str(GIB))
    yield folder
    folder.rmdir()


def test_a_process_sees_the_limit_of_the_cgroup_that_it_was_put_into(real_cgroup):
    program = (
        "import sys; from pathlib import Path\n"
        "from cloudmask.machine.system.cgroups import available_memory, memory_limit\n"
        "Path(sys.argv[1]).write_text('0')\n"
        "print(memory_limit(), available_memory())\n"
    )
    tasks = str(real_cgroup / "cgroup.procs")
    done = subprocess.run(
        [sys.executable, "-c", program, tasks], cwd=ROOT, capture_output=True, text=True, check=True
    )
    limit, available = map(int, done.stdout.split())
    assert limit == GIB
    assert 0 < available <= GIB
