"""A 3x3 'same' convolution with ReLU, and optionally a sum, fused by oneDNN or cuDNN.

On a CPU, a separate pass over the pixels of a layer costs as much as half its convolution. torch
has the fused kernels of both libraries without gradients; this module adds gradients. Those of
cuDNN are used on request: they have not been timed on a GPU.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

STRIDE, PADDING, DILATION = [1, 1], [1, 1], [1, 1]


class Convolution(nn.Conv2d):
    """Convolution and ReLU, (N, I, H, W) to (N, O, H, W); see `convolution_relu`.

    Attributes:
        cudnn: whether cuDNN fuses them on a GPU.
    """

    bias: Tensor
    cudnn = False

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__(in_channels, out_channels, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        return convolution_relu(x, self.weight, self.bias, cudnn=self.cudnn)


def convolution_relu(
    x: Tensor, weight: Tensor, bias: Tensor, added: Tensor | None = None, *, cudnn: bool = False
) -> Tensor:
    """relu(conv2d(x, weight, bias) + added), in the type of autocast or else of `weight`.

    Args:
        x: (N, I, H, W), of any type.
        weight: (O, I, 3, 3).
        bias: (O,).
        added: (N, O, H, W); overwritten by the result if it is in channels-last layout and not
            added by cuDNN.
        cudnn: whether cuDNN fuses them on a GPU.
    """
    device = x.device.type
    if torch.is_autocast_enabled(device):
        dtype = torch.get_autocast_dtype(device)
        weight, bias = weight.to(dtype), bias.to(dtype)
    x = x.to(weight.dtype)
    fused: type[_ConvolutionReLU]
    # torch's operator with a sum needs channels-last layout and more than one input channel.
    if uses_onednn(weight) and (added is None or weight.shape[1] > 1):
        fused = _OneDNN
        if added is not None:
            x, weight, added = (
                each.contiguous(memory_format=torch.channels_last) for each in (x, weight, added)
            )
    elif cudnn and weight.device.type == "cuda" and not torch.compiler.is_compiling():
        fused = _CuDNN
    else:
        y = F.conv2d(x, weight, bias, padding=1)
        return F.relu(y if added is None else added.add_(y), inplace=True)
    result: Tensor = fused.apply(x, weight, bias, added)
    return result


def uses_onednn(weight: Tensor) -> bool:
    """Whether oneDNN computes convolutions with this weight, rather than a compiled kernel."""
    if torch.compiler.is_compiling() or weight.device.type != "cpu":
        return False
    if weight.dtype == torch.bfloat16:
        return bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())
    return weight.dtype == torch.float32 and torch.backends.mkldnn.is_available()


class _ConvolutionReLU(torch.autograd.Function):
    """Of inputs x, weight, bias and added, as in `convolution_relu`; saves x, weight and result."""

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, dy: Tensor) -> tuple[Tensor | None, ...]:
        x, weight, y = ctx.saved_tensors
        dy = torch.ops.aten.threshold_backward(dy, y, 0)
        dx, dweight, dbias = torch.ops.aten.convolution_backward(
            dy,
            x,
            weight,
            [len(weight)],
            *(STRIDE, PADDING, DILATION),
            *(False, [0, 0], 1),  # not transposed; one group
            ctx.needs_input_grad[:3],
        )
        return dx, dweight, dbias, dy if ctx.needs_input_grad[3] else None


class _OneDNN(_ConvolutionReLU):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor, added: Tensor | None) -> Tensor:
        geometry = (PADDING, STRIDE, DILATION, 1)  # one group
        if added is None:
            y: Tensor = torch.ops.mkldnn._convolution_pointwise(
                x, weight, bias, *geometry, "relu", [], ""
            )
        else:
            y = added
            torch.ops.mkldnn._convolution_pointwise_.binary(
                y, x, weight, bias, *geometry, "add", 1.0, "relu", [], ""
            )
            ctx.mark_dirty(y)
        ctx.save_for_backward(x, weight, y)
        return y


class _CuDNN(_ConvolutionReLU):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor, added: Tensor | None) -> Tensor:
        geometry = (STRIDE, PADDING, DILATION, 1)  # one group
        if added is None:
            y: Tensor = torch.cudnn_convolution_relu(x, weight, bias, *geometry)
        else:
            y = torch.cudnn_convolution_add_relu(x, weight, added, 1.0, bias, *geometry)
        ctx.save_for_backward(x, weight, y)
        return y
