"""The network against the reference's numbers."""

import numpy as np
import pytest
import torch
from torch import nn

from cloudmask.model.unet import UNet
from tests.conftest import REFERENCE
from tests.model.reference_weights import fill_with_reference_weights


def test_reference_network_has_the_published_number_of_parameters():
    assert sum(p.numel() for p in UNet().parameters()) == 1_948_609


def test_forward_pass_agrees_with_reference():
    rs = np.random.RandomState(1234)
    network = fill_with_reference_weights(UNet(), rs)
    images = torch.from_numpy(rs.standard_normal((2, 64, 64, 9)).astype(np.float32))
    with torch.no_grad():
        probability = torch.sigmoid(network(images.permute(0, 3, 1, 2))).permute(0, 2, 3, 1)
    expected = np.load(REFERENCE / "unet_forward.npz")["probability"]
    np.testing.assert_allclose(probability.numpy(), expected, atol=1e-4, rtol=0)


def test_convolutions_come_in_forward_order():
    network = UNet()
    called: list[nn.Module] = []
    convolutions = [m for m in network.modules() if isinstance(m, nn.Conv2d)]
    for convolution in convolutions:
        convolution.register_forward_hook(lambda module, *_: called.append(module))
    network(torch.zeros(1, 9, 16, 16))
    assert called == convolutions
    assert len(called) == 15


def test_kernels_start_he_normal_and_biases_at_zero():
    torch.manual_seed(0)
    for module in UNet().modules():
        if isinstance(module, nn.Conv2d):
            deviation = (2 / module.weight[0].numel()) ** 0.5
            assert torch.all(module.bias == 0)
            assert module.weight.abs().max() < 2.3 * deviation  # truncated
            if module.weight.numel() > 2000:
                assert module.weight.std().item() == pytest.approx(deviation, rel=0.05)


def test_batch_norm_is_an_argument_that_changes_no_shape():
    network = UNet(batch_norm=True)
    assert any(isinstance(m, nn.BatchNorm2d) for m in network.modules())
    assert network(torch.zeros(2, 9, 32, 40)).shape == (2, 1, 32, 40)
