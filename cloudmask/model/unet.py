"""The benchmark's U-Net: three encoder stages, a bottleneck, three decoder stages, one logit."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from cloudmask.model.convolution import Convolution, convolution_relu

# Standard deviation of a normal distribution truncated at two standard deviations, relative to
# the untruncated one: dividing by it gives kernels the standard deviation of He initialisation.
TRUNCATED_STANDARD_DEVIATION = 0.87962566103423978


class Stage(nn.Module):
    """Two 3x3 'same' convolutions, each followed by a ReLU."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.convolution_a = Convolution(in_channels, out_channels)
        self.convolution_b = Convolution(out_channels, out_channels)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.convolution_b(self.convolution_a(x))
        return y


class UpStage(Stage):
    """A stage whose input is coarser features, upsampled, concatenated with skip features.

    Neither upsampled nor concatenated features are stored: the first convolution is the sum of
    two, one of the coarse features (see `upsampled_convolution`) and one of the skip features.
    """

    def forward(self, coarse: Tensor, skip: Tensor) -> Tensor:  # type: ignore[override]
        upsampling_kernel, skip_kernel = self.kernels()
        x = upsampled_convolution(coarse, upsampling_kernel)
        first = self.convolution_a
        x = convolution_relu(skip, skip_kernel, first.bias, x, cudnn=first.cudnn)
        y: Tensor = self.convolution_b(x)
        return y

    def kernels(self) -> tuple[Tensor, Tensor]:
        """The first convolution's `upsampling_kernel`, and its kernel for skip features."""
        weight = self.convolution_a.weight
        width = self.convolution_a.out_channels  # also the number of skip features
        upsampled, skip = weight.split([weight.shape[1] - width, width], dim=1)
        return upsampling_kernel(upsampled), skip


def upsampled_convolution(x: Tensor, kernel: Tensor) -> Tensor:
    """A 3x3 'same' convolution of x after nearest-neighbour upsampling by 2.

    Upsampled pixels repeat, so each of the four output phases depends on 2 x 2 different pixels,
    weighted by sums of kernel elements. Together the phases are one 4 x 4 transposed convolution
    of x with stride 2: the same result for 4/9 of the operations.

    Args:
        x: coarse features (N, C, H, W).
        kernel: the `upsampling_kernel` of the convolution.

    Returns:
        (N, O, 2H, 2W).
    """
    return F.conv_transpose2d(x, kernel, stride=2, padding=1)


def upsampling_kernel(weight: Tensor) -> Tensor:
    """Kernel (C, O, 4, 4) for `upsampled_convolution`, from a 3x3 kernel (O, C, 3, 3)."""
    for axis in (2, 3):
        before, middle, after = weight.unbind(axis)
        weight = torch.stack([after, middle + after, before + middle, before], axis)
    return weight.transpose(0, 1).contiguous(memory_format=torch.channels_last)


class UNet(nn.Module):
    """Patches (N, in_channels, H, W) to logits (N, 1, H, W); H and W are multiples of 8.

    With default arguments it is the reference network: 1,948,609 parameters, truncated He-normal
    kernels, zero biases. Decoder stages concatenate upsampled features, then skip features.
    `modules()` yields the convolutions in forward order.

    Args:
        in_channels: channels of the image.
        widths: channels of the encoder stages and, last, of the bottleneck.

    Attributes:
        arguments: `in_channels` and `widths`, by name.
    """

    def __init__(
        self,
        in_channels: int = 9,
        widths: Sequence[int] = (32, 64, 128, 256),
    ) -> None:
        super().__init__()
        self.arguments = {"in_channels": in_channels, "widths": list(widths)}
        *stages, bottom = widths
        inputs = [in_channels, *stages]
        self.down = nn.ModuleList(
            Stage(before, width) for before, width in zip(inputs, stages, strict=False)
        )
        self.bottleneck: nn.Module = Stage(stages[-1], bottom)
        coarser = [bottom, *reversed(stages)]
        self.up = nn.ModuleList(
            UpStage(below + width, width)
            for below, width in zip(coarser, reversed(stages), strict=False)
        )
        self.output = nn.Conv2d(stages[0], 1, 1)
        self.apply(_initialise)

    def fuse_with_cudnn(self) -> None:
        """Let cuDNN add bias and sum and apply the ReLU in its convolutions, on a GPU."""
        for module in self.modules():
            if isinstance(module, Convolution):
                module.cudnn = True

    def forward(self, x: Tensor) -> Tensor:
        skipped: list[Tensor] = []
        for stage in self.down:
            x = stage(x)
            skipped.append(x)
            x = F.max_pool2d(x, 2)
        x = self.bottleneck(x)
        for stage in self.up:
            x = stage(x, skipped.pop())
        logits: Tensor = self.output(x)
        return logits


def _initialise(module: nn.Module) -> None:
    if isinstance(module, nn.Conv2d):
        fan_in = module.weight[0].numel()
        std = math.sqrt(2 / fan_in) / TRUNCATED_STANDARD_DEVIATION
        nn.init.trunc_normal_(module.weight, std=std, a=-2 * std, b=2 * std)
        if module.bias is not None:
            nn.init.zeros_(module.bias)
