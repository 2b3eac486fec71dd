"""Compiled training: the same gradients, and one sentence where nothing can be compiled."""

import os
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest
import torch

from cloudmask.errors import InputError
from cloudmask.training.compilation import compile_errors_as_input_errors, compile_network
from tests.paths import ROOT

# A process of its own, because the compiler reads its environment once, and may leave helpers.
STEP = """
import torch
from cloudmask.distributed.process_group import initialise_process_group
from cloudmask.training.warm_up import warm_up
from tests.training.trainers import make_trainer, random_store, train

world = initialise_process_group()
gradients = []
for mode in ("off", "default"):
    trainer = make_trainer(world, "--patch-size=16", f"--compile-mode={mode}")
    warm_up(trainer)
    torch.manual_seed(2)
    trainer.parallel.train()
    with torch.compiler.set_stance("fail_on_recompile"):
        trainer.forward_backward(*trainer.random_batch(2))
        gradients.append([each.grad.clone() for each in trainer.network.parameters()])
        train(trainer, random_store(8, 16))
largest = max(float(gradient.abs().max()) for gradient in gradients[0])
for eager, compiled in zip(*gradients, strict=True):
    torch.testing.assert_close(compiled, eager, rtol=2e-3, atol=2e-3 * largest)
print(type(trainer.parallel).__name__)
"""


def test_off_compiles_nothing_and_leaves_errors_alone():
    network = torch.nn.Linear(1, 1)
    assert compile_network(network, "off") is network
    with pytest.raises(RuntimeError, match="as it is"), compile_errors_as_input_errors("off"):
        raise RuntimeError("as it is")


def test_what_the_compiler_misses_is_said_in_one_sentence():
    from torch._dynamo.exc import TorchDynamoException  # takes seconds to import

    with (
        pytest.raises(InputError) as raised,
        compile_errors_as_input_errors("max-autotune"),
    ):
        raise TorchDynamoException("\nno compiler\nand more lines")
    assert str(raised.value) == (
        "compile_mode is max-autotune, but torch cannot compile here (no compiler): "
        "install what is missing, or use off"
    )


def step(tmp_path, **environment):
    return subprocess.run(
        [sys.executable, "-c", STEP],
        cwd=ROOT,
        env={**os.environ, "TORCHINDUCTOR_CACHE_DIR": str(tmp_path / "cache"), **environment},
        capture_output=True,
        text=True,
        check=False,
        timeout=1200,
    )


@pytest.fixture
def cpp_compiler() -> None:
    """What torch.compile needs on a CPU; skips where it is missing."""
    if shutil.which("g++") is None:
        pytest.skip("no C++ compiler")
    if not Path(sysconfig.get_path("include"), "Python.h").exists():
        pytest.skip("no headers of Python")


def test_compiled_steps_have_the_gradients_of_plain_ones_and_compile_nothing_anew(
    cpp_compiler, tmp_path
):
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
