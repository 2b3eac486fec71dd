"""Two ranks train as one rank does on the same global batch."""

import subprocess
import sys

import pytest
import torch
import torch.distributed as dist

from tests.paths import ROOT
from tests.training.two_ranks import RECIPES, findings, join


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    """What each rank finds, by recipe: rank 0 in this process, rank 1 in another."""
    folder = tmp_path_factory.mktemp("ranks")
    store, output = folder / "store", folder / "rank1.pt"
    command = [sys.executable, "-m", "tests.training.two_ranks", store, output]
    other = subprocess.Popen(command, cwd=ROOT)
    try:
        world = join(0, store)
        mine = {recipe: findings(world, recipe) for recipe in RECIPES}
        assert other.wait(timeout=300) == 0
    finally:
        other.kill()
        if dist.is_initialized():
            dist.destroy_process_group()
    return mine, torch.load(output, weights_only=True)


@pytest.mark.parametrize("recipe", RECIPES)
def test_gradients_loss_and_metrics_are_means_over_the_global_batch(found, alone, recipe):
    whole = findings(alone, recipe)
    largest = max(float(gradient.abs().max()) for gradient in whole["gradients"].values())
    assert largest > 1e-3
    for rank in (each[recipe] for each in found):
        assert rank["metrics"] == pytest.approx(whole["metrics"], abs=2e-6)
        assert rank["loss"] == pytest.approx(whole["loss"], rel=1e-5)
        for name, expected in whole["gradients"].items():
            gradient = rank["gradients"][name]
            torch.testing.assert_close(gradient, expected, atol=1e-5 * largest, rtol=1e-5)


@pytest.mark.parametrize("recipe", RECIPES)
def test_both_ranks_have_the_same_weights_after_a_step(found, recipe):
    first, second = (each[recipe]["weights"] for each in found)
    for name, weights in first.items():
        assert torch.equal(weights, second[name]), name
