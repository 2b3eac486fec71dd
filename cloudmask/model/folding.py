"""A trained network as it predicts fastest: folded, in the arithmetic of the device, and fused."""

from __future__ import annotations

import copy
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.utils.fusion import fuse_conv_bn_eval

from cloudmask.model.convolution import convolution_relu
from cloudmask.model.unet import Stage, UNet, UpStage, upsampling_kernel


def folded(network: nn.Module, dtype: torch.dtype = torch.float32) -> UNet:
    """A copy for predictions, equal up to rounding; `network` stays as it is.

    With its running statistics a batch normalisation is a scale and a shift of each channel,
    which the convolution before it can do for nothing. Kernels are made and rounded once.

    Args:
        dtype: the copy's arithmetic; images of any type are taken.
    """
    copied = cast(UNet, copy.deepcopy(network)).eval().requires_grad_(False)
    for number, stage in enumerate(copied.down):
        copied.down[number] = _FoldedStage(cast(Stage, stage), dtype)
    copied.bottleneck = _FoldedStage(cast(Stage, copied.bottleneck), dtype)
    for number, stage in enumerate(copied.up):
        copied.up[number] = _FoldedUpStage(cast(UpStage, stage), dtype)
    copied.output.to(dtype)
    return copied


class _FoldedStage(nn.Module):
    def __init__(self, stage: Stage, dtype: torch.dtype) -> None:
        super().__init__()
        self.convolution_a = _convolution(stage.convolution_a, stage.norm_a, dtype)
        self.convolution_b = _convolution(stage.convolution_b, stage.norm_b, dtype)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.convolution_b(self.convolution_a(x))
        return y


class _FoldedUpStage(nn.Module):
    def __init__(self, stage: UpStage, dtype: torch.dtype) -> None:
        super().__init__()
        stage.convolution_a = _without_norm(stage.convolution_a, stage.norm_a)
        upsampled, kept = stage.kernels()
        bias = stage.convolution_a.bias
        self.kernel: Tensor
        self.register_buffer("kernel", upsampling_kernel(upsampled).to(dtype))
        self.convolution_a = _ConvolutionReLU(kept, bias, dtype)
        self.convolution_b = _convolution(stage.convolution_b, stage.norm_b, dtype)

    def forward(self, coarse: Tensor, skipped: Tensor) -> Tensor:
        x = F.conv_transpose2d(coarse, self.kernel, stride=2, padding=1)
        y: Tensor = self.convolution_b(self.convolution_a(skipped, x))
        return y


class _ConvolutionReLU(nn.Module):
    """`convolution_relu` with kernels that are made and rounded once."""

    def __init__(self, weight: Tensor, bias: Tensor | None, dtype: torch.dtype) -> None:
        super().__init__()
        assert bias is not None
        self.weight: Tensor
        self.bias: Tensor
        dense = weight.to(dtype).contiguous(memory_format=torch.channels_last)
        self.register_buffer("weight", dense)
        self.register_buffer("bias", bias.to(dtype))

    def forward(self, x: Tensor, added: Tensor | None = None) -> Tensor:
        return convolution_relu(x.to(self.weight.dtype), self.weight, self.bias, added)


def _convolution(
    convolution: nn.Conv2d, norm: nn.BatchNorm2d | nn.Identity, dtype: torch.dtype
) -> _ConvolutionReLU:
    convolution = _without_norm(convolution, norm)
    return _ConvolutionReLU(convolution.weight, convolution.bias, dtype)


def _without_norm(convolution: nn.Conv2d, norm: nn.BatchNorm2d | nn.Identity) -> nn.Conv2d:
    if not isinstance(norm, _BatchNorm):
        return convolution
    return fuse_conv_bn_eval(convolution, norm).requires_grad_(False)
