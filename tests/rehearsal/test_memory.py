"""The memory of each system's configuration, with the patches of DS1, on a GPU of its size.

The stand-ins refuse to allocate more than the GPU has. They cannot show the workspaces of cuDNN.
"""

from __future__ import annotations

import os
import subprocess

import pytest

from tests.paths import ROOT
from tests.rehearsal.rehearse import GIB

# GPU of the stand-ins, its memory in GiB, and what torch took of it when this was written, rounded
# up; CUDA graphs keep temporary memory of their own. For V100 stands a T4 with its memory: torch's
# build for CUDA 13 has no kernels for V100. H200 stands for the other GPUs with bfloat16.
BUDGETS = {
    "DGX2": ("T4", 31.7, 3.0),
    "DGX2_2x16": ("T4", 31.7, 2.3),
    "DGXA100": ("H200", 39.4, 4.6),
    "DGXH100": ("H200", 79.1, 4.6),
    "H200_1": ("H200", 140.4, 28.2),
}
WITHOUT_BUDGET = {"CPU", "GPU"}  # GPU is any machine: its batch follows from nvidia-smi


def configuration(system: str) -> dict[str, str]:
    """The variables that `run_and_time.sh` sets for the ranks of a system."""
    script = (
        f"source '{ROOT}/config_{system}.sh' && export CLOUDMASK_NODES=$DGXNNODES "
        "CLOUDMASK_PROCESSES_PER_NODE=$DGXNGPU && env -0"
    )
    done = subprocess.run(
        ["bash", "-ec", script], env={"PATH": os.environ["PATH"]}, capture_output=True, text=True
    )
    lines = [line.partition("=") for line in done.stdout.split("\0")]
    return {name: value for name, _, value in lines if name.startswith("CLOUDMASK_")}


def test_every_system_with_gpus_has_a_budget():
    systems = {path.stem.removeprefix("config_") for path in ROOT.glob("config_*.sh")}
    assert systems - WITHOUT_BUDGET == set(BUDGETS)


@pytest.mark.parametrize("system", BUDGETS)
def test_a_run_fits_the_memory_of_its_gpus(rehearsal, monkeypatch, system):
    for name, value in configuration(system).items():
        monkeypatch.setenv(name, value)
    gpu, memory, budget = BUDGETS[system]
    done, ledger = rehearsal.run("-m", "tests.rehearsal.full_size", gpu=gpu, memory=str(memory))
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) <= budget * GIB, int(done.stdout) / GIB
    assert ledger.anywhere("hazard") == []
