"""A trained network without its normalisation layers: they become part of the convolutions."""

from __future__ import annotations

import copy
from typing import cast

from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.utils.fusion import fuse_conv_bn_eval

from cloudmask.model.unet import Stage, UNet


def folded(network: nn.Module) -> UNet:
    """A copy for predictions, equal up to rounding; `network` stays as it is.

    With its running statistics a batch normalisation is a scale and a shift of each channel,
    which the convolution before it can do for nothing.
    """
    copied = cast(UNet, copy.deepcopy(network)).eval()
    for stage in copied.modules():
        if isinstance(stage, Stage):
            stage.convolution_a, stage.norm_a = _fused(stage.convolution_a, stage.norm_a)
            stage.convolution_b, stage.norm_b = _fused(stage.convolution_b, stage.norm_b)
    return copied


def _fused(
    convolution: nn.Conv2d, norm: nn.BatchNorm2d | nn.Identity
) -> tuple[nn.Conv2d, nn.BatchNorm2d | nn.Identity]:
    if not isinstance(norm, _BatchNorm):
        return convolution, norm
    return fuse_conv_bn_eval(convolution, norm), nn.Identity()
