"""A trained network as it predicts fastest."""

from __future__ import annotations

import copy
from typing import cast

import torch
from torch import Tensor, nn

from cloudmask.model.unet import UNet, UpStage


def predictor(network: nn.Module, dtype: torch.dtype = torch.float32) -> UNet:
    """A copy for predictions, equal up to rounding: its kernels are made and rounded only once.

    Args:
        network: a `UNet`, which stays as it is.
        dtype: the copy's arithmetic; images of any type are taken.
    """
    copied = cast(UNet, copy.deepcopy(network)).eval().requires_grad_(False)
    for number, stage in enumerate(copied.up):
        copied.up[number] = _ReadyUpStage(cast(UpStage, stage))
    return copied.to(dtype)


class _ReadyUpStage(UpStage):
    def __init__(self, stage: UpStage) -> None:
        nn.Module.__init__(self)
        self.convolution_a, self.convolution_b = stage.convolution_a, stage.convolution_b
        self.upsampling: Tensor
        self.kept: Tensor
        upsampling, kept = stage.kernels()
        self.register_buffer("upsampling", upsampling)
        self.register_buffer("kept", kept.contiguous(memory_format=torch.channels_last))

    def kernels(self) -> tuple[Tensor, Tensor]:
        return self.upsampling, self.kept
