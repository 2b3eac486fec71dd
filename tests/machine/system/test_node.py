"""Processors, memory, disks and links, read from what the kernel shows."""

from __future__ import annotations

import os

import pytest

from cloudmask.machine.system.node import describe_node
from cloudmask.machine.system.processors import describe_processors

# A container's own cgroup is the root of what is mounted in it.
CGROUP = {
    "proc/self/cgroup": "0::/",
    "proc/self/mountinfo": "30 23 0:27 / /sys/fs/cgroup ro,nosuid - cgroup2 cgroup rw,nsdelegate",
}


def test_the_processors_of_a_dgx_are_described(dgx):
    assert describe_processors(dgx) == {
        "host_processors_per_node": "2",
        "host_processor_model_name": "Intel(R) Xeon(R) Platinum 8168 CPU @ 2.70GHz",
        "host_processor_core_count": "2",
        "host_processor_vcpu_count": "4",
        "host_processor_frequency": "2.70 GHz base, 3.70 GHz maximum",
        "host_processor_caches": "2 x L1d 32 KiB, 2 x L1i 32 KiB, 2 x L2 1 MiB, 1 x L3 33 MiB",
        "host_processor_interconnect": "",
        "host_processor_bfloat16": "none",
    }


@pytest.mark.parametrize(
    ("flags", "kind"),
    [
        ("flags : fpu avx512_bf16 amx_bf16 amx_tile", "AMX"),
        ("flags : fpu avx512f avx512_bf16", "AVX-512"),
        ("Features : fp asimd bf16", "ARM"),
        ("flags : fpu avx2", "none"),
        ("", ""),
    ],
)
def test_the_kind_of_bfloat16_is_that_of_the_flags(tmp_path, add, flags, kind):
    add({"proc/cpuinfo": f"processor : 0\n{flags}\n"})
    assert describe_processors(tmp_path)["host_processor_bfloat16"] == kind


def test_the_rest_of_a_dgx_is_described(dgx):
    assert describe_node(dgx, environment={}) == {
        "host_memory_capacity": "1510 GiB",
        "host_memory_configuration": "24 x 64 GiB Registered-DDR4",
        "host_storage_type": "8 x NVMe SSD (KCM5DRUG3T84), 1 x SSD",
        "host_storage_capacity": "8 x 3.841 TB, 1 x 480.1 GB",
        "host_networking": "8 x InfiniBand 100 Gb/sec (4X EDR), 1 x Ethernet 100 Gbit/s",
        "operating_system": f"Ubuntu 24.04.1 LTS, Linux {os.uname().release}",
        "hw_notes": "NVIDIA DGX-2",
    }


def test_what_stands_between_the_run_and_the_machine_is_noted(dgx, add):
    add(
        {
            "proc/cpuinfo": "model name : Intel\nflags : fpu hypervisor\n",
            ".dockerenv": "",
            "sys/class/dmi/id/sys_vendor": "Amazon EC2",
            "sys/class/dmi/id/product_name": "p4d.24xlarge",
            **CGROUP,
            "sys/fs/cgroup/memory.max": 2**36,
            "sys/fs/cgroup/cpu.max": "1600000 100000",
        }
    )
    notes = describe_node(dgx, {"KUBERNETES_SERVICE_HOST": "10.0.0.1"})["hw_notes"]
    assert notes == (
        "Amazon EC2 p4d.24xlarge; virtual machine; in a container (Docker, Kubernetes); "
        "memory limited to 64 GiB; processors limited to 16 cores"
    )


def test_a_machine_that_tells_nothing_stays_unknown(tmp_path):
    assert set(describe_processors(tmp_path).values()) == {""}
    host = describe_node(tmp_path, environment={})
    assert host.pop("operating_system") == f"Linux {os.uname().release}"
    assert set(host.values()) == {""}


def test_limits_that_are_none_and_speeds_that_are_unknown_are_left_out(dgx, add):
    add(
        {
            **CGROUP,
            "sys/fs/cgroup/memory.max": "max",
            "sys/fs/cgroup/cpu.max": "max 100000",
            "sys/class/net/enp6s0/speed": -1,
        }
    )
    host = describe_node(dgx, environment={})
    assert host["hw_notes"] == "NVIDIA DGX-2"
    assert host["host_networking"].endswith(", 1 x Ethernet")
