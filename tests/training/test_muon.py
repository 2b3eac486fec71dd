"""Orthogonal steps of kernels, AdamW's of the rest, and none at all where gradients overflowed."""

import copy

import pytest
import torch

from cloudmask.training.muon import Muon, as_kernel, as_matrix, orthogonal


@pytest.fixture
def layer():
    torch.manual_seed(0)
    convolution = torch.nn.Conv2d(9, 32, 3)
    return convolution.to(memory_format=torch.channels_last)


def make_muon(layer, rate=0.1, decay=0.0):
    return Muon([layer.weight], rate, [layer.bias], lr=0.01, weight_decay=decay)


def set_gradients(layer):
    layer.weight.grad = torch.randn_like(layer.weight)
    layer.bias.grad = torch.randn_like(layer.bias)


@pytest.mark.parametrize("shape", [(32, 81), (64, 576), (32, 32)])
def test_every_singular_value_becomes_about_one_and_directions_stay(shape):
    torch.manual_seed(1)
    left, _ = torch.linalg.qr(torch.randn(shape[0], shape[0]))
    right, _ = torch.linalg.qr(torch.randn(shape[1], shape[0]))
    values = torch.logspace(0, -2, shape[0])
    made = orthogonal(left @ values.diag() @ right.T)
    seen = left.T @ made @ right
    assert 0.6 < seen.diag().min() <= seen.diag().max() < 1.3
    assert (seen - seen.diag().diag()).abs().max() < 0.1


def test_nothing_to_learn_is_no_step():
    assert torch.equal(orthogonal(torch.zeros(4, 9)), torch.zeros(4, 9))


def test_a_kernel_is_a_matrix_without_a_copy_and_back(layer):
    matrix = as_matrix(layer.weight)
    assert matrix.shape == (32, 81)
    assert matrix.data_ptr() == layer.weight.data_ptr()
    assert torch.equal(as_kernel(matrix, layer.weight), layer.weight)


def test_kernels_take_orthogonal_steps_and_the_rest_takes_those_of_adamw(layer):
    other = copy.deepcopy(layer)
    optimizer, adamw = make_muon(layer), torch.optim.AdamW([other.bias], lr=0.01, weight_decay=0.0)
    for _ in range(3):
        before = layer.weight.detach().clone()
        set_gradients(layer)
        other.bias.grad = layer.bias.grad.clone()
        optimizer.step()
        adamw.step()
        step = torch.linalg.svdvals(as_matrix(layer.weight.detach() - before))
        assert 0.06 < step.min() <= step.max() < 0.13
        torch.testing.assert_close(layer.bias, other.bias)


def test_first_step_goes_against_the_gradient(layer):
    optimizer = make_muon(layer)
    before = layer.weight.detach().clone()
    set_gradients(layer)
    gradient = layer.weight.grad.clone()
    optimizer.step()
    assert (gradient * (layer.weight.detach() - before)).sum() < 0


def test_scaled_gradients_give_the_same_steps_and_overflowed_ones_none(layer):
    other = copy.deepcopy(layer)
    plain, scaled = make_muon(layer, decay=0.1), make_muon(other, decay=0.1)
    scaler = torch.amp.GradScaler("cpu", init_scale=1024.0)
    images = torch.randn(2, 9, 8, 8)

    def step_scaled(factor):
        scaler.scale(other(images).square().mean() * factor).backward()
        scaler.step(scaled)
        scaler.update()
        scaled.zero_grad()

    for _ in range(3):
        layer(images).square().mean().backward()
        plain.step()
        plain.zero_grad()
        step_scaled(1.0)
        torch.testing.assert_close(list(other.parameters()), list(layer.parameters()))
    before = copy.deepcopy([*other.parameters(), scaled.state[other.weight]["momentum"]])
    step_scaled(torch.inf)
    after = [*other.parameters(), scaled.state[other.weight]["momentum"]]
    assert all(torch.equal(a, b) for a, b in zip(after, before, strict=True))
    assert scaler.get_scale() == 512


def test_weight_decay_shrinks_kernels(layer):
    optimizer = make_muon(layer, rate=0.5, decay=0.2)
    before = layer.weight.detach().clone()
    layer.weight.grad, layer.bias.grad = torch.zeros_like(layer.weight), None
    optimizer.step()
    torch.testing.assert_close(layer.weight.detach(), 0.9 * before)
