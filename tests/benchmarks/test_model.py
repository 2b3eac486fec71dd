"""The model of the time to solution: counts, terms that scale as they must, and measured runs."""

from __future__ import annotations

import json

import pytest

from benchmarks import model
from cloudmask.mlperf.log.run_summary import read_summary
from tests.paths import ROOT

MACHINES = json.loads(model.RUNS.read_text(encoding="utf-8"))


def test_default_runs_are_predicted_within_a_fifth_on_both_machines():
    for machine, found in model.ratios().items():
        assert len(found) == 6, machine
        assert all(0.8 < ratio < 1.2 for ratio in found), (machine, found)


def test_the_runs_of_the_xeon_are_those_of_the_committed_logs():
    for number, (epochs, seconds) in enumerate(MACHINES[0]["epochs_and_seconds"]):
        summary = read_summary(ROOT / "logs" / "CPU" / f"result_{number}.txt")
        assert (summary.epochs, summary.time_to_solution) == (epochs, seconds)


def test_the_rates_of_the_xeon_are_those_of_the_committed_measurement():
    stages = json.loads((ROOT / MACHINES[0]["rates"]).read_text())["stages"]
    measured = {stage["stage"]: sorted(stage["ours"])[2] for stage in stages}
    for stage in ("staging", "training", "evaluation"):
        assert MACHINES[0][stage] == pytest.approx(measured[stage], rel=1e-3)


@pytest.mark.parametrize(("system", "steps"), [("DGX2_2x16", 242), ("H200_1", 242)])
def test_an_epoch_has_the_steps_of_the_systems_global_batch(system, steps):
    config = model.system_config(system)
    kernels = model.epoch(config, model.GPUS[system], 0.3).kernels
    one = model.KERNELS * model.KERNEL_SECONDS + model.HOST_LAUNCHES * model.LAUNCH_SECONDS
    assert kernels / one == pytest.approx(steps)


def test_arithmetic_is_that_of_all_patches_over_all_gpus():
    config = model.system_config("DGX2_2x16")
    found = model.epoch(config, model.V100, 0.3).arithmetic
    assert found == pytest.approx(15488 * 65.7e9 / (32 * 0.3 * 125e12))


def test_one_gpu_reduces_nothing_and_a_ring_grows_with_its_ranks():
    alone, many = (model.system_config(name) for name in ("H200_1", "DGX2_2x16"))
    assert model.all_reduce_seconds(alone, model.H200) == 0
    assert model.all_reduce_seconds(many, model.V100) > 2 * 31 * model.HOP_SECONDS
