"""Folding: the same predictions without the normalisation layers."""

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


def test_network_without_norms_is_copied_as_it_is():
    network = UNet().train()
    copied = folded(network)
    assert network.training
    assert not copied.training
    for mine, theirs in zip(network.parameters(), copied.parameters(), strict=True):
        assert torch.equal(mine, theirs)
        assert mine is not theirs
