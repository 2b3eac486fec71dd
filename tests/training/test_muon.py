"""Orthogonal steps of kernels, AdamW's of the rest, and none at all where gradients overflowed."""

import copy

import pytest
import torch

from cloudmask.training.muon import Muon, as_matrices, orthogonalisers


@pytest.fixture
def layer():
    torch.manual_seed(0)
    convolution = torch.nn.Conv2d(9, 32, 3)
    return convolution.to(memory_format=torch.channels_last)


def make_muon(layer, rate=0.1, decay=0.0, momentum=0.9):
    return Muon([layer.weight], rate, momentum, [layer.bias], lr=0.01, weight_decay=decay)


def set_gradients(layer):
    layer.weight.grad = torch.randn_like(layer.weight)
    layer.bias.grad = torch.randn_like(layer.bias)


def made_orthogonal(matrix):
    (made,) = orthogonalisers(matrix[None]) @ matrix
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
    for block, made in zip(blocks, orthogonalisers(blocks) @ blocks, strict=True):
        torch.testing.assert_close(made, made_orthogonal(block))


def test_a_kernel_is_matrices_in_the_same_memory(layer):
    (matrix,) = as_matrices(layer.weight)
    assert matrix.shape == (32, 81)
    assert torch.equal(matrix[3].view(3, 3, 9), layer.weight[3].permute(1, 2, 0))
    matrix.detach()[5, 4 * 9 + 2] = 7
    assert layer.weight[5, 2, 1, 1] == 7
    wide = torch.nn.Conv2d(4, 128, 3).to(memory_format=torch.channels_last).weight
    blocks = as_matrices(wide)
    assert blocks.shape == (2, 64, 36)
    assert torch.equal(blocks[1, 2].view(3, 3, 4), wide[66].permute(1, 2, 0))
    assert blocks.data_ptr() == wide.data_ptr()


def test_kernels_that_are_no_matrix_in_memory_are_refused():
    with pytest.raises(ValueError, match=r"\(32, 9, 3, 3\) is not in channels-last layout"):
        make_muon(torch.nn.Conv2d(9, 32, 3))


def test_kernels_take_orthogonal_steps_and_the_rest_takes_those_of_adamw(layer):
    other = copy.deepcopy(layer)
    optimizer, adamw = make_muon(layer), torch.optim.AdamW([other.bias], lr=0.01, weight_decay=0.0)
    for _ in range(3):
        before = layer.weight.detach().clone()
        set_gradients(layer)
        other.bias.grad = layer.bias.grad.clone()
        optimizer.step()
        adamw.step()
        (step,) = torch.linalg.svdvals(as_matrices(layer.weight.detach() - before))
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


def test_momentum_is_the_share_of_the_last_steps(layer):
    other = copy.deepcopy(layer)
    optimizer, forgetful = make_muon(layer, momentum=0.5), make_muon(other, momentum=0.0)
    for _ in range(2):
        set_gradients(layer)
        other.weight.grad, other.bias.grad = layer.weight.grad.clone(), layer.bias.grad.clone()
        last = layer.weight.grad.clone()
        optimizer.step()
        forgetful.step()
    torch.testing.assert_close(forgetful.state[other.weight]["momentum"], last)
    assert not torch.allclose(layer.weight, other.weight)


def test_weight_decay_shrinks_kernels(layer):
    optimizer = make_muon(layer, rate=0.5, decay=0.2)
    before = layer.weight.detach().clone()
    layer.weight.grad, layer.bias.grad = torch.zeros_like(layer.weight), None
    optimizer.step()
    torch.testing.assert_close(layer.weight.detach(), 0.9 * before)
