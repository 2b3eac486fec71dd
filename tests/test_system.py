"""Which system a machine is, by what nvidia-smi and CUDA_VISIBLE_DEVICES say."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from tests.paths import ROOT

H100 = "81559, NVIDIA H100 80GB HBM3"
V100 = "32510, Tesla V100-SXM3-32GB"


@pytest.fixture
def load(tmp_path: Path):
    """A function that loads the system of a machine with these GPUs, and prints it."""

    def run(*gpus: str, **variables: str) -> subprocess.CompletedProcess[str]:
        rows = [f"{index}, GPU-{index}abc, {gpu}" for index, gpu in enumerate(gpus)]
        lines = "\n".join(["#!/bin/bash", *(f"echo '{row}'" for row in rows)])
        (tmp_path / "nvidia-smi").write_text(f"{lines}\nexit {0 if gpus else 9}\n")
        (tmp_path / "nvidia-smi").chmod(0o755)
        script = """
            root=$1
            source "$root/system.sh"
            load_system
            echo $DGXSYSTEM $DGXNNODES $DGXNGPU $CLOUDMASK_SYSTEM_DEFAULTS
        """
        inherited = {name: value for name, value in os.environ.items() if name[:3] != "DGX"}
        inherited.pop("CUDA_VISIBLE_DEVICES", None)
        return subprocess.run(
            ["bash", "-euo", "pipefail", "-c", script, "bash", ROOT],
            env={**inherited, "PATH": f"{tmp_path}:{os.environ['PATH']}", **variables},
            capture_output=True,
            text=True,
        )

    return run


def settings(batch: int, evaluation_batch: int) -> str:
    """The defaults of a GPU system as printed."""
    return f"device: cuda batch_size: {batch} evaluation_batch_size: {evaluation_batch} epochs: 100"


@pytest.mark.parametrize(
    ("gpus", "system"),
    [
        ([], "CPU 1 1 device: cpu"),
        ([H100], f"1xH100 1 1 {settings(64, 64)}"),
        ([V100] * 16, f"16xV100 1 16 {settings(4, 8)}"),
        (["24564, NVIDIA GeForce RTX 4090"], f"1xRTX4090 1 1 {settings(64, 64)}"),
        (["49140, NVIDIA RTX A6000"] * 2, f"2xRTXA6000 1 2 {settings(32, 32)}"),
        (["40960, NVIDIA A100-PCIE-40GB"], f"1xA100 1 1 {settings(64, 64)}"),
        (["97871, NVIDIA GH200 480GB"], f"1xGH200 1 1 {settings(64, 64)}"),
        (["4096, Quadro P1000"], f"1xP1000 1 1 {settings(12, 12)}"),
    ],
)
def test_a_machine_is_named_after_its_gpus_with_a_batch_that_fits(load, gpus, system):
    done = load(*gpus)
    assert done.stdout.strip() == system, done.stderr


@pytest.mark.parametrize(
    ("visible", "system"),
    [
        ("1", "1xH100"),
        ("0,2", "2xH100"),
        ("GPU-1", "1xH100"),
        ("0,-1,2", "1xH100"),
        ("", "CPU"),
        ("-1", "CPU"),
    ],
)
def test_only_visible_gpus_count(load, visible, system):
    done = load(H100, H100, H100, CUDA_VISIBLE_DEVICES=visible)
    assert done.stdout.split()[0] == system, done.stderr


@pytest.mark.parametrize(
    ("gpus", "variables", "message"),
    [
        ([H100], {"CUDA_VISIBLE_DEVICES": "3"}, "nvidia-smi lists no GPU 3: correct it, or name"),
        ([H100, V100], {}, "has GPUs of several kinds (H100 V100): choose those of one kind"),
        ([], {"DGXSYSTEM": "GPU"}, "DGXSYSTEM is GPU but nvidia-smi lists no visible GPU"),
        ([H100], {"DGXSYSTEM": "8xH100"}, "DGXSYSTEM is 8xH100 but this machine is 1xH100"),
        ([H100], {"DGXSYSTEM": "ABACUS"}, "take one of CPU DGX2 DGX2_2x16 DGXA100 DGXH100 GPU"),
    ],
)
def test_a_system_that_this_machine_is_not_is_refused(load, gpus, variables, message):
    done = load(*gpus, **variables)
    assert done.returncode == 2
    assert message in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_a_name_that_a_log_gives_can_be_asked_for(load):
    assert load(H100, H100, DGXSYSTEM="2xH100").stdout.startswith("2xH100 1 2 ")


def test_the_file_of_another_system_leaves_nothing_behind(load):
    done = load(H100, DGXSYSTEM="DGX2", CLOUDMASK_SYSTEM_DEFAULTS="batch_size: 64")
    assert done.stdout.strip() == f"DGX2 1 16 {settings(4, 32)}"
    assert load(DGXSYSTEM="CPU").stdout.strip() == "CPU 1 1 device: cpu"
