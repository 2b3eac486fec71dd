"""What the doctor says of machines that are at hand and of ones that are not."""

from __future__ import annotations

import os
import re
import subprocess
import sys

import pytest
from packaging.requirements import Requirement

from cloudmask.doctor.environment import (
    check_device_count,
    check_kernels,
    check_packages,
    check_python,
    check_shared_memory,
    check_source,
    check_without_gpu,
    read_pins,
)
from tests.paths import ROOT

CUDA_12_6 = ["sm_50", "sm_60", "sm_70", "sm_75", "sm_80", "sm_86", "sm_90"]
CUDA_13_0 = ["sm_75", "sm_80", "sm_86", "sm_90", "sm_100", "sm_120", "compute_120"]


def doctor(*flags: object) -> subprocess.CompletedProcess[str]:
    """`python -m cloudmask doctor` in a process of its own."""
    return subprocess.run(
        [sys.executable, "-m", "cloudmask", "doctor", *map(str, flags)],
        cwd=ROOT,
        env=dict(os.environ),
        capture_output=True,
        text=True,
        timeout=120,
    )


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
    assert check_without_gpu("", None, 1).level == "ok"
    assert check_without_gpu("", None, 10_000).level == "warning"


def test_fewer_gpus_than_processes_are_a_failure():
    assert check_device_count(8, 16).level == "FAIL"
    assert check_device_count(16, 16).level == "ok"


def test_a_containers_small_shared_memory_is_a_warning_only_for_many_gpus():
    assert check_shared_memory(64 * 2**20, 16).level == "warning"
    assert "--ipc=host" in check_shared_memory(64 * 2**20, 16).text
    assert check_shared_memory(64 * 2**20, 1).level == "ok"
    assert check_shared_memory(2**34, 16).level == "ok"


def test_other_packages_than_pinned_are_a_warning_and_missing_ones_a_failure():
    finding = check_packages([Requirement("pytest==0.1")])
    assert finding.level == "warning"
    assert "tested==0.1" in finding.text
    finding = check_packages([Requirement("no-such-package==1"), Requirement("pytest==0.1")])
    assert finding.level == "FAIL"
    assert "no-such-package" in finding.text
    assert check_packages([]).level == "warning"


def test_a_pin_for_another_interpreter_is_left_out(tmp_path):
    file = tmp_path / "requirements.txt"
    file.write_text('# pins\npytest==8\nnumpy==1; python_version < "3"\n')
    assert [pin.name for pin in read_pins(file)] == ["pytest"]
    assert read_pins(tmp_path / "none.txt") == []


def test_an_old_python_is_a_failure():
    assert check_python((3, 9)).level == "FAIL"
    assert check_python((3, 12)).level == "ok"


def test_a_commit_that_does_not_name_the_source_is_a_warning():
    assert check_source("0" * 40).level == "ok"
    assert check_source("0" * 40 + "-dirty").level == "warning"
    assert check_source("unknown").level == "warning"


@pytest.mark.slow
def test_a_machine_that_can_do_the_run_is_ready(learnable_data, tmp_path):
    done = doctor("--datadir", learnable_data, "--logdir", tmp_path / "logs")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "5 training scenes" in done.stdout
    assert "80 and 20 patches" in done.stdout
    assert "1 inference scenes" in done.stdout
    assert re.search(r"^ok +disk +\d+ MB/s at most, scene S3A", done.stdout, re.MULTILINE)
    assert not (tmp_path / "logs").exists()  # looking leaves nothing behind


@pytest.mark.slow
def test_every_failure_has_its_line_and_the_exit_code_is_1(tmp_path):
    (tmp_path / "file").touch()
    done = doctor("--datadir", tmp_path / "nowhere", "--logdir", tmp_path / "file" / "logs")
    assert done.returncode == 1
    failures = [line for line in done.stdout.splitlines() if line.startswith("FAIL")]
    assert len(failures) == 2, done.stdout
    assert "nowhere does not exist" in failures[0]
    assert "LOGDIR" in failures[1]


@pytest.mark.slow
def test_an_unknown_parameter_is_bad_input():
    done = doctor("--batch-sise=2")
    assert done.returncode == 2
    assert len(done.stderr.strip().splitlines()) == 1


@pytest.mark.slow
def test_the_health_line_is_one_line():
    done = doctor("--health")
    assert done.returncode == 0
    assert re.fullmatch(r"health: .*torch .*memory free, .*shared memory, user \d+\n", done.stdout)
