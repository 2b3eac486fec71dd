"""The copy for inference: the same predictions, in a precision of its own."""

import copy

import pytest
import torch

from cloudmask.model.metrics import pixel_counts
from cloudmask.model.prediction import inference_copy
from cloudmask.model.unet import UNet


@pytest.mark.parametrize(
    ("dtype", "tolerance"),
    [(torch.float64, 1e-12), (torch.float32, 1e-5), (torch.bfloat16, 0.05), (torch.float16, 0.01)],
)
def test_copy_predicts_in_its_own_arithmetic_as_the_network_does_exactly(dtype, tolerance):
    torch.manual_seed(1)
    network = UNet().double()
    images = torch.randn(2, 9, 64, 64).half().contiguous(memory_format=torch.channels_last)
    with torch.inference_mode():
        exact = network(images)
        mine = inference_copy(network, dtype)(images)
    assert (exact.dtype, mine.dtype) == (torch.float64, dtype)
    assert (mine.double() - exact).abs().mean() < tolerance * exact.std()


@pytest.mark.parametrize("widths", [(1, 1, 1, 1), (2, 3, 4, 5)])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_narrow_networks_predict_too(widths, dtype):
    network = UNet(widths=widths)
    images = torch.randn(1, 9, 32, 32)
    with torch.inference_mode():
        exact, mine = network.double()(images), inference_copy(network, dtype)(images)
    assert (mine.double() - exact).abs().max() < 0.05 * (1 + exact.abs().max())


def test_kernels_for_upsampling_are_made_once(monkeypatch):
    copied = inference_copy(UNet())
    monkeypatch.setattr("cloudmask.model.unet.upsampling_kernel", None)
    with torch.inference_mode():
        assert copied(torch.randn(1, 9, 32, 32)).shape == (1, 1, 32, 32)


def test_a_logit_of_exactly_zero_stays_so_and_is_clear():
    network = UNet(widths=(2, 2, 2, 2))
    with torch.no_grad():
        network.output.weight.zero_()
    with torch.inference_mode():
        logits = inference_copy(network, torch.bfloat16)(torch.randn(1, 9, 32, 32))
    assert torch.equal(logits, torch.zeros_like(logits))
    assert pixel_counts(logits, torch.ones_like(logits))[:4].tolist() == [0, 0, 0, 32 * 32]


def test_network_stays_as_it_is_and_shares_nothing_with_the_copy():
    network = UNet().train()
    before = copy.deepcopy(network.state_dict())
    copied = inference_copy(network)
    assert network.training
    assert all(parameter.requires_grad for parameter in network.parameters())
    assert not copied.training
    assert not any(parameter.requires_grad for parameter in copied.parameters())
    for value in copied.state_dict().values():
        value.zero_()
    for name, value in network.state_dict().items():
        assert torch.equal(value, before[name])
