"""The network against the reference's numbers."""

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from cloudmask.model.unet import (
    Stage,
    UNet,
    UpStage,
    upsampled_convolution,
    upsampling_kernel,
)
from tests.model.reference_weights import fill_with_reference_weights
from tests.paths import REFERENCE


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
    convolutions = [m for m in UNet().modules() if isinstance(m, nn.Conv2d)]
    down = [(9, 32), (32, 32), (32, 64), (64, 64), (64, 128), (128, 128)]
    bottom = [(128, 256), (256, 256)]
    up = [(384, 128), (128, 128), (192, 64), (64, 64), (96, 32), (32, 32)]
    expected = [*down, *bottom, *up, (32, 1)]
    assert [(m.in_channels, m.out_channels) for m in convolutions] == expected


def test_convolution_of_upsampled_features_equals_upsampling_first():
    torch.manual_seed(1)
    x, weight = torch.randn(2, 5, 8, 12), torch.randn(3, 5, 3, 3)
    plain = F.conv2d(F.interpolate(x, scale_factor=2, mode="nearest"), weight, padding=1)
    assert torch.allclose(upsampled_convolution(x, upsampling_kernel(weight)), plain, atol=1e-4)


def test_up_stage_equals_convolving_the_concatenation_with_its_gradients():
    torch.manual_seed(2)
    stage = UpStage(6 + 4, 4)
    coarse = torch.randn(2, 6, 8, 8, requires_grad=True)
    skipped = torch.randn(2, 4, 16, 16, requires_grad=True)
    upsampled = F.interpolate(coarse, scale_factor=2, mode="nearest")
    plain = Stage.forward(stage, torch.cat([upsampled, skipped], dim=1))
    ours = stage(coarse, skipped)
    assert torch.allclose(ours, plain, atol=1e-4)
    inputs = [coarse, skipped, *stage.parameters()]
    for mine, theirs in zip(
        torch.autograd.grad(ours.square().sum(), inputs),
        torch.autograd.grad(plain.square().sum(), inputs),
        strict=True,
    ):
        assert torch.allclose(mine, theirs, rtol=1e-4, atol=1e-4)


def test_kernels_start_he_normal_and_biases_at_zero():
    torch.manual_seed(0)
    for module in UNet().modules():
        if isinstance(module, nn.Conv2d):
            deviation = (2 / module.weight[0].numel()) ** 0.5
            assert torch.all(module.bias == 0)
            assert module.weight.abs().max() < 2.3 * deviation  # truncated
            if module.weight.numel() > 2000:
                assert module.weight.std().item() == pytest.approx(deviation, rel=0.05)
