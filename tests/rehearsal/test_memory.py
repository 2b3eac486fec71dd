"""The memory of each system's configuration, with the patches of DS1, on a GPU of its size.

The stand-ins refuse to allocate more than the GPU has. They cannot show the workspaces of cuDNN.
"""

from __future__ import annotations

import os
import subprocess

import pytest

from tests.paths import ROOT
from tests.rehearsal.rehearse import GIB

# GPU of the stand-ins, and what torch took of its memory in GiB when this was written, rounded up.
# For V100 stands a T4 with the memory of one: torch's build for CUDA 13 has no kernels for V100.
BUDGETS = {"DGX2": ("T4", 2.6), "DGX2_2x16": ("T4", 1.7), "H200_1": ("H200", 27.3)}


def configuration(system: str) -> dict[str, str]:
    """The variables that `run_and_time.sh` sets for the ranks of a system."""
    script = (
        f"source {ROOT}/config_{system}.sh && export CLOUDMASK_NODES=$DGXNNODES "
        "CLOUDMASK_PROCESSES_PER_NODE=$DGXNGPU && env -0"
    )
    done = subprocess.run(
        ["bash", "-ec", script], env={"PATH": os.environ["PATH"]}, capture_output=True, text=True
    )
    lines = [line.partition("=") for line in done.stdout.split("\0")]
    return {name: value for name, _, value in lines if name.startswith("CLOUDMASK_")}


def test_every_system_with_gpus_has_a_budget():
    systems = {path.stem.removeprefix("config_") for path in ROOT.glob("config_*.sh")}
    assert systems - {"CPU"} == set(BUDGETS)


@pytest.mark.parametrize("system", BUDGETS)
def test_a_run_fits_the_memory_of_its_gpus(rehearsal, monkeypatch, system):
    for name, value in configuration(system).items():
        monkeypatch.setenv(name, value)
    gpu, budget = BUDGETS[system]
    done, ledger = rehearsal.run("-m", "tests.rehearsal.full_size", gpu=gpu)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) <= budget * GIB, int(done.stdout) / GIB
    assert ledger.anywhere("hazard") == []
