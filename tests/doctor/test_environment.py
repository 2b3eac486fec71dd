"""Checks of the environment: machines described by their numbers, and this one."""

from __future__ import annotations

import os
import subprocess
import sys

import psutil
import pytest
import torch
from packaging.requirements import Requirement

from cloudmask import source
from cloudmask.doctor import environment
from cloudmask.doctor.environment import (
    busy_cores,
    check_device_count,
    check_devices,
    check_idle,
    check_kernels,
    check_packages,
    check_python,
    check_shared_memory,
    check_source,
    check_without_gpu,
    read_pins,
    shared_memory,
)

CUDA_12_6 = ["sm_50", "sm_60", "sm_70", "sm_75", "sm_80", "sm_86", "sm_90"]
CUDA_13_0 = ["sm_75", "sm_80", "sm_86", "sm_90", "sm_100", "sm_120", "compute_120"]


@pytest.mark.parametrize(
    ("capability", "kernels", "level"),
    [
        ((7, 0), CUDA_12_6, "ok"),
        ((7, 0), CUDA_13_0, "FAIL"),  # V100
        ((8, 9), CUDA_12_6, "ok"),  # code for 8.6 runs on 8.9
        ((9, 0), CUDA_12_6, "ok"),
        ((12, 1), CUDA_12_6, "FAIL"),
        ((12, 1), CUDA_13_0, "ok"),  # compiled from compute_120 when loaded
        ((7, 0), [], "FAIL"),
    ],
)
def test_a_device_needs_kernels_of_its_major_version_or_intermediate_code(
    capability, kernels, level
):
    assert check_kernels("device", capability, kernels).level == level


def test_a_v100_without_kernels_is_told_which_build_has_them():
    finding = check_kernels("Tesla V100-SXM3-32GB", (7, 0), CUDA_13_0)
    assert "Tesla V100-SXM3-32GB has compute capability 7.0" in finding.text
    assert "CUDA 12.6" in finding.text


def test_gpus_that_torch_does_not_see_are_a_failure():
    assert check_without_gpu("535.104.05", None, 16).level == "FAIL"
    assert "12.8" in check_without_gpu("470.82.01", "12.8", 16).text
    assert "it has no CUDA" in check_without_gpu("535.104.05", None, 16).text


def test_more_processes_than_cpu_cores_are_a_warning():
    cores = len(os.sched_getaffinity(0))
    assert check_without_gpu("", None, cores).level == "ok"
    assert check_without_gpu("", None, cores + 1).level == "warning"


@pytest.mark.parametrize(
    ("busy", "usable", "level"), [(0.4, 8, "ok"), (1.0, 8, "warning"), (4.0, 4, "ok")]
)
def test_cores_that_others_keep_busy_are_a_warning(busy, usable, level):
    found = check_idle(busy, 8, usable)
    assert found.level == level
    assert f"{busy} of 8 cores busy" in found.text


def test_a_process_that_computes_keeps_a_core_busy():
    with subprocess.Popen([sys.executable, "-c", "while True: pass"]) as process:
        try:
            busy = busy_cores()
        finally:
            process.kill()
    assert 0.5 < busy <= psutil.cpu_count()


def test_fewer_gpus_than_processes_are_a_failure():
    assert check_device_count(15, 16).level == "FAIL"
    assert check_device_count(16, 16).level == "ok"


def test_a_containers_small_shared_memory_is_a_warning_only_for_many_gpus():
    assert check_shared_memory(64 * 2**20, 16).level == "warning"
    assert "--ipc=host" in check_shared_memory(64 * 2**20, 16).text
    assert check_shared_memory(64 * 2**20, 1).level == "ok"
    assert check_shared_memory(2**30 - 1, 2).level == "warning"
    assert check_shared_memory(2**30, 2).level == "ok"


def test_shared_memory_is_the_size_of_its_file_system(monkeypatch, tmp_path):
    monkeypatch.setattr(environment, "SHARED_MEMORY", tmp_path)
    status = os.statvfs(tmp_path)
    assert shared_memory() == status.f_blocks * status.f_frsize
    monkeypatch.setattr(environment, "SHARED_MEMORY", tmp_path / "nowhere")
    assert shared_memory() == 0


def test_other_packages_than_pinned_are_a_warning_and_missing_ones_a_failure():
    finding = check_packages([Requirement("pytest==0.1")])
    assert finding.level == "warning"
    assert "tested==0.1" in finding.text
    finding = check_packages([Requirement("no-such-package==1"), Requirement("pytest==0.1")])
    assert finding.level == "FAIL"
    assert "no-such-package" in finding.text
    assert check_packages([]).level == "warning"
    finding = check_packages([Requirement("pytest>=8"), Requirement("numpy>=1")])
    assert (finding.level, finding.text) == ("ok", "2 as pinned")


def test_a_pin_for_another_interpreter_is_left_out(tmp_path):
    file = tmp_path / "requirements.txt"
    file.write_text('# pins\npytest==8\nnumpy==1; python_version < "3"\n')
    assert [pin.name for pin in read_pins(file)] == ["pytest"]
    assert read_pins(tmp_path / "none.txt") == []


def test_an_old_python_is_a_failure():
    assert check_python((3, 9)).level == "FAIL"
    assert check_python((3, 9)).text == "3.9: install 3.10"
    assert check_python((3, 10)).level == "ok"
    assert check_python((3, 12)).text.endswith(" 3.12")


def test_a_commit_that_does_not_name_the_source_is_a_warning(tmp_path, monkeypatch):
    monkeypatch.setattr(source, "SOURCE_ROOT", tmp_path)
    assert check_source().level == "warning"
    assert check_source().text.startswith(f"commit unknown: {tmp_path} is no git clone")
    (tmp_path / "SOURCE_COMMIT").write_text("0" * 40)
    assert (check_source().level, check_source().text) == ("ok", "0" * 40)
    (tmp_path / "SOURCE_COMMIT").write_text("0" * 40 + "-dirty")
    assert check_source().level == "warning"


def test_the_gpus_of_a_node_are_checked_each_kind_once(monkeypatch):
    names = ["Tesla V100", "Tesla V100", "A100"]
    capabilities = {"Tesla V100": (7, 0), "A100": (8, 0)}
    for name, function in {
        "is_available": lambda: True,
        "device_count": lambda: len(names),
        "get_arch_list": lambda: CUDA_13_0,
        "get_device_name": lambda index: names[index],
        "get_device_capability": lambda index: capabilities[names[index]],
        "mem_get_info": lambda index: (3 * 2**30, 32 * 2**30),
    }.items():
        monkeypatch.setattr(torch.cuda, name, function)
    monkeypatch.setattr(torch.cuda.nccl, "version", lambda: (2, 21, 5))
    monkeypatch.setattr(environment, "driver_version", lambda: "560.35.03")
    count, new, old, memory, driver = check_devices(4)
    assert (count.level, count.text) == ("FAIL", "3 GPUs for 4 processes")
    assert (new.level, new.text[:10]) == ("ok", "A100 (8.0)")
    assert (old.level, old.subject) == ("FAIL", "kernels")
    assert memory.text == "3.0 GiB of 32.0 GiB free on the first GPU"
    assert driver.text.startswith("560.35.03, CUDA ")
    assert ", NCCL 2.21.5, " in driver.text


def test_a_system_of_gpus_on_a_machine_without_them_is_a_failure(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(environment, "driver_version", lambda: "")
    (finding,) = check_devices(1, "cuda")
    assert finding.level == "FAIL"
    assert "the system's device is cuda, and there is no GPU" in finding.text
