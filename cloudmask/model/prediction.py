"""A copy of a trained network that is optimised for inference."""

from __future__ import annotations

import copy
from typing import cast

import torch
from torch import Tensor, nn

from cloudmask.model.unet import UNet, UpStage


def inference_copy(network: UNet, dtype: torch.dtype = torch.float32) -> UNet:
    """A copy in evaluation mode whose derived kernels are computed and rounded only once.

    Args:
        network: the trained network; it is not changed.
        dtype: type of the copy's weights and arithmetic; its input may be of any type.
    """
    copied = copy.deepcopy(network).eval().requires_grad_(False)
    for number, stage in enumerate(copied.up):
        copied.up[number] = _PrecomputedUpStage(cast(UpStage, stage))
    return copied.to(dtype)


class _PrecomputedUpStage(UpStage):
    def __init__(self, stage: UpStage) -> None:
        nn.Module.__init__(self)
        self.convolution_a, self.convolution_b = stage.convolution_a, stage.convolution_b
        self.upsampling: Tensor
        self.skip: Tensor
        upsampling, skip = stage.kernels()
        self.register_buffer("upsampling", upsampling)
        self.register_buffer("skip", skip.contiguous(memory_format=torch.channels_last))

    def kernels(self) -> tuple[Tensor, Tensor]:
        return self.upsampling, self.skip
