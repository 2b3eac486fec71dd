"""Compiled training: the same gradients, and one sentence where nothing can be compiled."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

# A process of its own, because the compiler reads its environment once, and may leave helpers.
STEP = """
import torch
from cloudmask.config import configure
from cloudmask.training.distributed import join_world
from cloudmask.training.precision import choose_precision
from cloudmask.training.trainer import Trainer

world = join_world()
gradients = []
for mode in ("off", "default"):
    flags = ["--recipe=reference", "--precision=float32", "--patch-size=16", "--seed=1"]
    config = configure([*flags, f"--compile-mode={mode}"])
    trainer = Trainer(config, world, choose_precision(config.precision, world.device))
    trainer.warm_up()
    torch.manual_seed(2)
    trainer.parallel.train()
    trainer.gradients(*trainer.random_batch(2))
    gradients.append([parameter.grad.clone() for parameter in trainer.network.parameters()])
for eager, compiled in zip(*gradients, strict=True):
    torch.testing.assert_close(compiled, eager, rtol=1e-3, atol=1e-3 * float(eager.abs().max()))
print(type(trainer.parallel).__name__)
"""


def step(tmp_path, **environment):
    return subprocess.run(
        [sys.executable, "-c", STEP],
        cwd=ROOT,
        env={**os.environ, "TORCHINDUCTOR_CACHE_DIR": str(tmp_path / "cache"), **environment},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.slow
def test_compiled_step_has_the_gradients_of_the_plain_one(tmp_path):
    done = step(tmp_path)
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stdout.split() == ["OptimizedModule"]


@pytest.mark.slow
def test_without_a_compiler_the_run_says_so_before_it_starts(tmp_path):
    done = step(tmp_path, CXX=str(tmp_path / "none"))
    assert done.returncode != 0
    last = done.stderr.strip().splitlines()[-1]
    assert "InputError: compile_mode is default, but torch cannot compile here" in last
    assert "or use off" in last
