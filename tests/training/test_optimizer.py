"""The optimizers: torch's own Adam and AdamW, orthogonal steps of kernels, and loss scaling."""

import copy
import subprocess
import sys

import pytest
import torch
from torch import nn

from cloudmask.config import configure
from cloudmask.training.muon import Muon, inverse_square_roots, row_blocks
from cloudmask.training.optimizer import Optimizer

FLAGS = ["--learning-rate=0.01", "--kernel-learning-rate=0.1", "--kernel-momentum=0.9"]


@pytest.fixture
def layer():
    torch.manual_seed(0)
    convolution = nn.Conv2d(9, 32, 3)
    return convolution.to(memory_format=torch.channels_last)


def make_optimizer(layer, *flags):
    return Optimizer(configure([*FLAGS, "--weight-decay=0", *flags]), layer)


def set_gradients(*layers):
    for weight, *others in zip(*(layer.parameters() for layer in layers), strict=True):
        weight.grad = torch.randn_like(weight)
        for other in others:
            other.grad = weight.grad.clone()


@pytest.mark.parametrize("factor", [1.0, 0.25])
@pytest.mark.parametrize(
    ("name", "kind"), [("adam", torch.optim.Adam), ("adamw", torch.optim.AdamW)]
)
def test_adam_and_adamw_take_the_steps_of_torch(layer, name, kind, factor):
    other = copy.deepcopy(layer)
    ours = make_optimizer(layer, f"--optimizer={name}", "--weight-decay=0.1")
    theirs = kind(other.parameters(), lr=0.01 * factor, eps=1e-7, weight_decay=0.1)
    for _ in range(3):
        set_gradients(layer, other)
        ours.step(factor)
        theirs.step()
        for mine, expected in zip(layer.parameters(), other.parameters(), strict=True):
            torch.testing.assert_close(mine, expected)


def made_orthogonal(matrix):
    (made,) = inverse_square_roots((matrix @ matrix.T)[None]) @ matrix
    return made


@pytest.mark.parametrize("shape", [(32, 81), (64, 576), (32, 32)])
def test_every_singular_value_becomes_about_one_and_directions_stay(shape):
    torch.manual_seed(1)
    left, _ = torch.linalg.qr(torch.randn(shape[0], shape[0]))
    right, _ = torch.linalg.qr(torch.randn(shape[1], shape[0]))
    values = torch.logspace(0, -2, shape[0])
    made = made_orthogonal(left @ values.diag() @ right.T)
    seen = left.T @ made @ right
    assert 0.6 < seen.diag().min() <= seen.diag().max() < 1.3
    assert (seen - seen.diag().diag()).abs().max() < 0.1


def test_nothing_to_learn_is_no_step():
    assert torch.equal(made_orthogonal(torch.zeros(4, 9)), torch.zeros(4, 9))


@pytest.mark.parametrize("size", [1e-3, 1e3])
def test_the_length_of_a_gradient_does_not_matter(size):
    torch.manual_seed(3)
    matrix = torch.randn(32, 81)
    torch.testing.assert_close(made_orthogonal(size * matrix), made_orthogonal(matrix))


def test_blocks_are_made_orthogonal_each_by_itself():
    torch.manual_seed(3)
    blocks = torch.randn(3, 16, 40) * torch.tensor([1.0, 1e-3, 20.0])[:, None, None]
    made_blocks = inverse_square_roots(blocks @ blocks.mT) @ blocks
    for block, made in zip(blocks, made_blocks, strict=True):
        torch.testing.assert_close(made, made_orthogonal(block))


def test_a_kernel_is_matrices_in_the_same_memory(layer):
    (matrix,) = row_blocks(layer.weight)
    assert matrix.shape == (32, 81)
    assert torch.equal(matrix[3].view(3, 3, 9), layer.weight[3].permute(1, 2, 0))
    matrix.detach()[5, 4 * 9 + 2] = 7
    assert layer.weight[5, 2, 1, 1] == 7
    wide = torch.nn.Conv2d(4, 128, 3).to(memory_format=torch.channels_last).weight
    blocks = row_blocks(wide)
    assert blocks.shape == (2, 64, 36)
    assert torch.equal(blocks[1, 2].view(3, 3, 4), wide[66].permute(1, 2, 0))
    assert blocks.data_ptr() == wide.data_ptr()


def test_kernels_that_are_no_matrix_in_memory_are_refused():
    with pytest.raises(ValueError, match=r"\(32, 9, 3, 3\) is not in channels-last layout"):
        Muon([nn.Conv2d(9, 32, 3).weight], 0.1, 0.9, 0.0)


def test_kernels_take_orthogonal_steps_and_the_rest_takes_those_of_adamw(layer):
    other = copy.deepcopy(layer)
    optimizer, adamw = make_optimizer(layer), torch.optim.AdamW([other.bias], 0.01, eps=1e-7)
    for group in adamw.param_groups:
        group["weight_decay"] = 0.0
    for _ in range(3):
        before = layer.weight.detach().clone()
        set_gradients(layer, other)
        optimizer.step(1.0)
        adamw.step()
        (step,) = torch.linalg.svdvals(row_blocks(layer.weight.detach() - before))
        assert 0.06 < step.min() <= step.max() < 0.13
        torch.testing.assert_close(layer.bias, other.bias)


def test_kernels_of_other_widths_are_turned_each_by_itself():
    torch.manual_seed(5)
    kernels = [
        nn.Conv2d(inputs, outputs, 3).to(memory_format=torch.channels_last).weight
        for inputs, outputs in ((9, 32), (64, 128), (32, 32), (64, 64), (8, 32))
    ]
    alone = copy.deepcopy(kernels)
    for kernel, other in zip(kernels, alone, strict=True):
        kernel.grad = torch.randn_like(kernel)
        other.grad = kernel.grad.clone()
    with torch.no_grad():
        Muon(kernels, 0.1, 0.9, 0.01).step(1.0, None, None)
        for other in alone:
            Muon([other], 0.1, 0.9, 0.01).step(1.0, None, None)
    torch.testing.assert_close(kernels, alone)


def test_first_step_goes_against_the_gradient(layer):
    before = layer.weight.detach().clone()
    set_gradients(layer)
    make_optimizer(layer).step(1.0)
    assert (layer.weight.grad * (layer.weight.detach() - before)).sum() < 0


def test_steps_are_as_long_as_the_factor_says(layer):
    other = copy.deepcopy(layer)
    before = copy.deepcopy(layer)
    set_gradients(layer, other)
    make_optimizer(layer).step(1.0)
    make_optimizer(other).step(0.25)
    for start, whole, part in zip(
        *(each.parameters() for each in (before, layer, other)), strict=True
    ):
        torch.testing.assert_close(part - start, (whole - start) / 4, rtol=1e-3, atol=1e-6)


def test_momentum_is_the_share_of_the_last_steps(layer):
    other = copy.deepcopy(layer)
    optimizer, forgetful = make_optimizer(layer), make_optimizer(other, "--kernel-momentum=0")
    for _ in range(2):
        set_gradients(layer, other)
        optimizer.step(1.0)
        forgetful.step(1.0)
    torch.testing.assert_close(forgetful.groups[0].averages[0], other.weight.grad)
    assert not torch.allclose(layer.weight, other.weight)


def test_weight_decay_shrinks_kernels(layer):
    before = layer.weight.detach().clone()
    optimizer = make_optimizer(layer, "--kernel-learning-rate=0.5", "--weight-decay=0.2")
    for parameter in layer.parameters():
        parameter.grad = torch.zeros_like(parameter)
    optimizer.step(1.0)
    torch.testing.assert_close(layer.weight.detach(), 0.9 * before)


@pytest.mark.parametrize("name", ["adam", "muon"])
def test_scaled_gradients_give_the_same_steps_and_overflowed_ones_none(layer, name):
    flags = (f"--optimizer={name}", "--weight-decay=0.1")
    other = copy.deepcopy(layer)
    plain, scaled = make_optimizer(layer, *flags), make_optimizer(other, *flags)
    scaler = torch.amp.GradScaler("cpu", init_scale=1024.0)
    images = torch.randn(2, 9, 8, 8)

    def step_scaled(factor):
        scaler.scale(other(images).square().mean() * factor).backward()
        scaler.step(scaled, 1.0)
        scaler.update()
        other.zero_grad()

    for _ in range(3):
        layer(images).square().mean().backward()
        plain.step(1.0)
        layer.zero_grad()
        step_scaled(1.0)
        torch.testing.assert_close(list(other.parameters()), list(layer.parameters()))
    before = copy.deepcopy([*other.parameters(), scaled.state()])
    step_scaled(torch.inf)
    torch.testing.assert_close([*other.parameters(), scaled.state()], before, rtol=0, atol=0)
    assert scaler.get_scale() == 512


@pytest.mark.parametrize("name", ["adam", "adamw", "muon"])
def test_steps_go_on_from_a_state(layer, name):
    other = copy.deepcopy(layer)
    first = make_optimizer(layer, f"--optimizer={name}")
    set_gradients(layer)
    first.step(1.0)
    other.load_state_dict(layer.state_dict())
    second = make_optimizer(other, f"--optimizer={name}")
    second.load_state(copy.deepcopy(first.state()))
    for _ in range(2):
        set_gradients(layer, other)
        first.step(1.0)
        second.step(1.0)
    for mine, expected in zip(other.parameters(), layer.parameters(), strict=True):
        assert torch.equal(mine, expected)


def test_a_run_of_one_process_prepares_itself_without_torchs_compiler():
    code = """
import sys
import torch
from cloudmask.config import configure
from cloudmask.distributed.process_group import initialise_process_group, destroy_process_group
from cloudmask.model.precision import choose_precision
from cloudmask.training.trainer import Trainer
world = initialise_process_group()
config = configure(["--patch-size=32"])
Trainer(config, world, choose_precision("float32", world.device)).warm_up()
destroy_process_group()
sys.exit("torch._dynamo" in sys.modules)
"""
    assert subprocess.run([sys.executable, "-c", code], check=False, timeout=120).returncode == 0
