"""Fused convolutions: the results and gradients of separate operators."""

from collections.abc import Iterator

import pytest
import torch
from torch.nn import functional as F

from cloudmask.model import convolution
from cloudmask.model.convolution import _CuDNN, convolution_relu, uses_onednn


def tensors(dtype, adding, layout=torch.channels_last):
    torch.manual_seed(4)
    x, added = torch.randn(2, 9, 12, 16), [torch.randn(2, 8, 12, 16)] * adding
    weight, bias = torch.randn(8, 9, 3, 3) / 9, torch.randn(8)
    shaped = [tensor.contiguous(memory_format=layout) for tensor in (x, weight)]
    shaped += [bias, *(tensor.contiguous(memory_format=layout) for tensor in added)]
    return [tensor.to(dtype).requires_grad_() for tensor in shaped]


def results(function, inputs):
    """Of the function, and the gradients of its inputs; those of the last are of an in-between."""
    y = function(*inputs[:3], *(2 * added for added in inputs[3:]))
    dy = torch.linspace(-1, 1, y.numel()).view(y.shape).to(y.dtype)
    return [y, *torch.autograd.grad(y, inputs, dy)]


def separate(x, weight, bias, added=None):
    y = F.conv2d(x, weight, bias, padding=1)
    return F.relu(y if added is None else added + y)


@pytest.mark.parametrize("layout", [torch.channels_last, torch.contiguous_format])
@pytest.mark.parametrize("adding", [False, True])
@pytest.mark.parametrize(
    ("dtype", "tolerance"), [(torch.float64, 1e-12), (torch.float32, 1e-5), (torch.bfloat16, 0.02)]
)
def test_results_and_gradients_are_those_of_separate_operators(dtype, tolerance, adding, layout):
    if dtype == torch.bfloat16 and not torch.ops.mkldnn._is_mkldnn_bf16_supported():
        pytest.skip("no bfloat16 in this processor")
    inputs = tensors(dtype, adding, layout)
    assert uses_onednn(inputs[1]) == (dtype != torch.float64)
    exact = [tensor.detach().double().requires_grad_() for tensor in inputs]
    for mine, theirs in zip(
        results(convolution_relu, inputs), results(separate, exact), strict=True
    ):
        assert mine.dtype == dtype
        assert (mine.double() - theirs).abs().mean() < tolerance * theirs.std()


@pytest.fixture
def cudnn_on_cpu() -> Iterator[torch.library.Library]:
    """The fused operators of cuDNN on a CPU, by their definition."""
    library = torch.library.Library("aten", "IMPL", "CPU")

    def with_sum(x, weight, z, alpha, bias, stride, padding, dilation, groups):
        return F.relu(alpha * z + F.conv2d(x, weight, bias, stride, padding, dilation, groups))

    def without(x, weight, bias, stride, padding, dilation, groups):
        return F.relu(F.conv2d(x, weight, bias, stride, padding, dilation, groups))

    library.impl("cudnn_convolution_add_relu", with_sum)
    library.impl("cudnn_convolution_relu", without)
    yield library
    library._destroy()


@pytest.mark.parametrize("adding", [False, True])
def test_cudnns_fused_operators_are_called_by_their_definition(cudnn_on_cpu, adding):
    inputs = tensors(torch.float64, adding)
    mine = results(lambda *given: _CuDNN.apply(*given, *[None] * (4 - len(given))), inputs)
    for one, other in zip(mine, results(separate, inputs), strict=True):
        assert torch.allclose(one, other)


@pytest.mark.parametrize("fused", [True, False])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_without_gradients_the_sum_is_made_in_place(monkeypatch, dtype, fused):
    if not fused:
        monkeypatch.setattr(convolution, "uses_onednn", lambda weight: False)
    elif dtype == torch.bfloat16 and not torch.ops.mkldnn._is_mkldnn_bf16_supported():
        pytest.skip("no bfloat16 in this processor")
    with torch.inference_mode():
        x, weight, bias, added = (tensor.detach() for tensor in tensors(dtype, True))
        expected = separate(*(each.float() for each in (x, weight, bias, added)))
        y = convolution_relu(x, weight, bias, added)
    assert y.data_ptr() == added.data_ptr()
    assert (y.float() - expected).abs().mean() < 0.02 * expected.std()


def test_autocast_decides_on_the_arithmetic_and_gradients_come_in_that_of_the_weights():
    x, weight, bias = tensors(torch.float32, False)
    with torch.autocast("cpu", torch.bfloat16):
        y = convolution_relu(x.half(), weight, bias)
    assert y.dtype == torch.bfloat16
    y.float().square().sum().backward()
    exact = [tensor.detach().requires_grad_() for tensor in (x, weight, bias)]
    separate(*exact).square().sum().backward()
    for mine, theirs in zip((weight, bias), exact[1:], strict=True):
        assert mine.grad.dtype == torch.float32
        assert (mine.grad - theirs.grad).abs().mean() < 0.02 * theirs.grad.std()


def test_images_that_want_no_gradient_leave_that_of_the_weights():
    x, weight, bias = tensors(torch.float32, False)
    with_image, without = (
        torch.autograd.grad(convolution_relu(image, weight, bias).sum(), weight)[0]
        for image in (x, x.detach())
    )
    assert torch.equal(with_image, without)
