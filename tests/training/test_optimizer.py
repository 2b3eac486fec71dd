"""The optimizers: torch's Adam and AdamW, Muon against NumPy, and loss scaling."""

import copy
import subprocess
import sys

import numpy as np
import pytest
import torch
from torch import nn

from cloudmask.config import configure
from cloudmask.model.unet import UNet
from cloudmask.training.muon import Muon, inverse_square_roots, row_blocks
from cloudmask.training.optimizer import Optimizer
from tests.paths import ROOT

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


@pytest.mark.parametrize("scale", [1.0, 0.25])
@pytest.mark.parametrize("epsilon", [1e-7, 0.5])
@pytest.mark.parametrize(
    ("name", "kind"), [("adam", torch.optim.Adam), ("adamw", torch.optim.AdamW)]
)
def test_adam_and_adamw_take_the_steps_of_torch(layer, name, kind, epsilon, scale):
    other = copy.deepcopy(layer)
    flags = (f"--optimizer={name}", "--weight-decay=0.1", f"--adam-epsilon={epsilon}")
    ours = make_optimizer(layer, *flags)
    theirs = kind(
        other.parameters(), lr=0.01 * scale, betas=(0.9, 0.999), eps=epsilon, weight_decay=0.1
    )
    for _ in range(3):
        set_gradients(layer, other)
        ours.step(scale)
        theirs.step()
        for mine, expected in zip(layer.parameters(), other.parameters(), strict=True):
            torch.testing.assert_close(mine, expected)


def orthogonal(matrix):
    """Five Newton-Schulz iterations of the paper, in NumPy."""
    x = matrix / np.linalg.norm(matrix)
    for _ in range(5):
        product = x @ x.T
        x = 3.4445 * x + (-4.7750 * product + 2.0315 * product @ product) @ x
    return x


@pytest.mark.parametrize(("outputs", "block"), [(32, 32), (64, 64), (128, 64), (96, 96)])
def test_muon_takes_the_steps_of_a_reference_in_numpy(outputs, block):
    rng = np.random.default_rng(7)
    shape = (outputs, 3, 3, 5)  # rows, then columns as in channels-last layout
    weights = rng.standard_normal(shape)
    kernel = torch.from_numpy(weights.copy()).permute(0, 3, 1, 2).requires_grad_()
    muon = Muon([kernel], learning_rate=0.1, momentum=0.7, weight_decay=0.2)
    weights = weights.reshape(outputs, -1)
    average = np.zeros_like(weights)
    for scale in (1.0, 0.5, 0.25):
        gradient = rng.standard_normal(shape)
        kernel.grad = torch.from_numpy(gradient.copy()).permute(0, 3, 1, 2)
        with torch.no_grad():
            muon.step(scale, None, None)
        gradient = gradient.reshape(outputs, -1)
        average = 0.7 * average + 0.3 * gradient
        update = 0.7 * average + 0.3 * gradient  # Nesterov momentum
        weights = weights * (1 - 0.1 * scale * 0.2)
        for rows in (slice(first, first + block) for first in range(0, outputs, block)):
            weights[rows] -= 0.1 * scale * orthogonal(update[rows])
        mine = kernel.detach().permute(0, 2, 3, 1).reshape(outputs, -1).numpy()
        np.testing.assert_allclose(mine, weights, rtol=1e-9, atol=1e-9)


def made_orthogonal(matrix):
    (made,) = inverse_square_roots((matrix @ matrix.T)[None]) @ matrix
    return made


@pytest.mark.parametrize("shape", [(32, 81), (64, 576), (32, 32)])
def test_singular_values_become_about_one_and_singular_vectors_stay(shape):
    torch.manual_seed(1)
    left, _ = torch.linalg.qr(torch.randn(shape[0], shape[0]))
    right, _ = torch.linalg.qr(torch.randn(shape[1], shape[0]))
    values = torch.logspace(0, -2, shape[0])
    made = made_orthogonal(left @ values.diag() @ right.T)
    seen = left.T @ made @ right
    assert 0.6 < seen.diag().min() <= seen.diag().max() < 1.3
    assert (seen - seen.diag().diag()).abs().max() < 0.1


def test_a_zero_gradient_is_no_step():
    assert torch.equal(made_orthogonal(torch.zeros(4, 9)), torch.zeros(4, 9))


@pytest.mark.parametrize("size", [1e-3, 1e3])
def test_the_norm_of_a_gradient_does_not_matter(size):
    torch.manual_seed(3)
    matrix = torch.randn(32, 81)
    torch.testing.assert_close(made_orthogonal(size * matrix), made_orthogonal(matrix))


def test_blocks_are_orthogonalised_independently():
    torch.manual_seed(3)
    blocks = torch.randn(3, 16, 40) * torch.tensor([1.0, 1e-3, 20.0])[:, None, None]
    made_blocks = inverse_square_roots(blocks @ blocks.mT) @ blocks
    for block, made in zip(blocks, made_blocks, strict=True):
        torch.testing.assert_close(made, made_orthogonal(block))


def test_row_blocks_are_views_of_a_kernel(layer):
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


def test_kernels_in_another_layout_are_refused():
    with pytest.raises(ValueError, match=r"\(32, 9, 3, 3\) is not in channels-last layout"):
        Muon([nn.Conv2d(9, 32, 3).weight], 0.1, 0.9, 0.0)


def test_muon_is_for_the_3x3_kernels_and_adamw_for_all_other_parameters():
    network = UNet(widths=(2, 2, 2, 2)).to(memory_format=torch.channels_last)
    muon, adamw = make_optimizer(network).groups
    names = {id(parameter): name for name, parameter in network.named_parameters()}
    others = [name for name in names.values() if name.endswith("bias")] + ["output.weight"]
    kernels = set(names.values()) - set(others)
    assert len(kernels) == 14
    assert {names[id(each)] for each in muon.parameters} == kernels
    assert sorted(names[id(each)] for each in adamw.parameters) == sorted(others)


def test_kernels_take_orthogonal_steps_and_the_rest_takes_those_of_adamw(layer):
    other = copy.deepcopy(layer)
    with torch.no_grad():
        layer.bias.fill_(1.0)
        other.bias.fill_(1.0)
    flags = ("--weight-decay=0.1", "--adam-epsilon=0.5")
    optimizer = make_optimizer(layer, *flags)
    adamw = torch.optim.AdamW([other.bias], 0.01, eps=0.5, weight_decay=0.1)
    for _ in range(3):
        before = layer.weight.detach().clone()
        set_gradients(layer, other)
        optimizer.step(1.0)
        adamw.step()
        decayed = before * (1 - 0.1 * 0.1)  # of the kernels' learning rate and the weight decay
        (step,) = torch.linalg.svdvals(row_blocks(layer.weight.detach() - decayed))
        assert 0.06 < step.min() <= step.max() < 0.13
        torch.testing.assert_close(layer.bias, other.bias)


def test_kernels_of_different_widths_are_updated_independently():
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


def test_the_scale_multiplies_both_learning_rates(layer):
    other = copy.deepcopy(layer)
    before = copy.deepcopy(layer)
    set_gradients(layer, other)
    make_optimizer(layer).step(1.0)
    make_optimizer(other).step(0.25)
    for start, whole, part in zip(
        *(each.parameters() for each in (before, layer, other)), strict=True
    ):
        torch.testing.assert_close(part - start, (whole - start) / 4, rtol=1e-3, atol=1e-6)


def test_the_rates_of_the_configuration_are_those_of_the_groups(layer):
    muon, adamw = make_optimizer(layer, "--weight-decay=0.3").groups
    assert (muon.learning_rate, muon.momentum, muon.weight_decay) == (0.1, 0.9, 0.3)
    assert adamw.learning_rate == 0.01


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
    # The scale doubles in each step, so that the moving averages mix gradients of several scales.
    scaler = torch.amp.GradScaler("cpu", init_scale=1024.0, growth_interval=1)
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
    assert scaler.get_scale() == 4096


@pytest.mark.parametrize("name", ["adam", "adamw", "muon"])
def test_a_restored_optimizer_takes_the_steps_that_the_first_would(layer, name):
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
from cloudmask.distributed.process_group import initialise_process_group, destroy_process_group
from cloudmask.training.warm_up import warm_up
from tests.training.trainers import make_trainer
warm_up(make_trainer(initialise_process_group()))
destroy_process_group()
sys.exit("torch._dynamo" in sys.modules)
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False, timeout=120)
    assert done.returncode == 0
