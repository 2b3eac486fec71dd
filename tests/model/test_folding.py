"""Folding: the same predictions without the normalisation layers."""

import copy

import pytest
import torch
from torch import nn

from cloudmask.model.folding import folded
from cloudmask.model.unet import UNet


def test_folded_network_predicts_the_same_and_leaves_the_original_alone():
    torch.manual_seed(0)
    network = UNet(batch_norm=True)
    for _ in range(3):  # statistics that are not those of the start
        network(2 + 3 * torch.randn(2, 9, 32, 32))
    network.eval()
    images = torch.randn(2, 9, 32, 32)
    before = network(images)
    slim = folded(network)
    assert not any(isinstance(module, nn.BatchNorm2d) for module in slim.modules())
    assert torch.allclose(slim(images), before, atol=1e-4)
    assert torch.equal(network(images), before)


@pytest.mark.parametrize("batch_norm", [False, True])
@pytest.mark.parametrize(
    ("dtype", "tolerance"),
    [(torch.float64, 1e-12), (torch.float32, 1e-5), (torch.bfloat16, 0.05), (torch.float16, 0.01)],
)
def test_copy_predicts_in_its_own_arithmetic_as_the_network_does_exactly(
    batch_norm, dtype, tolerance
):
    torch.manual_seed(1)
    network = UNet(batch_norm=batch_norm).double().eval()
    images = torch.randn(2, 9, 64, 64).half().contiguous(memory_format=torch.channels_last)
    with torch.inference_mode():
        exact = network(images.double())
        mine = folded(network, dtype)(images)
    assert mine.dtype == dtype
    assert (mine.double() - exact).abs().mean() < tolerance * exact.std()


def test_network_stays_as_it_is_and_shares_nothing_with_the_copy():
    network = UNet(batch_norm=True).train()
    before = copy.deepcopy(network.state_dict())
    copied = folded(network)
    assert network.training
    assert all(parameter.requires_grad for parameter in network.parameters())
    assert not copied.training
    for value in copied.state_dict().values():
        value.zero_()
    for name, value in network.state_dict().items():
        assert torch.equal(value, before[name])
