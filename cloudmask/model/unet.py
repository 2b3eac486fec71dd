"""The benchmark's U-Net: three stages down, a bottleneck, three stages up, one logit a pixel."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from cloudmask.model.convolution import Convolution, convolution_relu

# A normal distribution cut off at two standard deviations keeps this share of its deviation;
# dividing by it gives the kernels the deviation that He initialisation asks for.
TRUNCATED_NORMAL_DEVIATION = 0.87962566103423978


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
    """A stage whose input is the concatenation of coarser features, upsampled, and skipped ones.

    Neither the upsampled features nor the concatenation is ever made: the first convolution is
    the sum of one over each part. See `upsampled_convolution`.
    """

    def forward(self, coarse: Tensor, skipped: Tensor) -> Tensor:  # type: ignore[override]
        upsampling, kept = self.kernels()
        x = upsampled_convolution(coarse, upsampling)
        y: Tensor = self.convolution_b(convolution_relu(skipped, kept, self.convolution_a.bias, x))
        return y

    def kernels(self) -> tuple[Tensor, Tensor]:
        """Of the first convolution: the `upsampling_kernel`, and weights for skipped features."""
        weight = self.convolution_a.weight
        width = self.convolution_a.out_channels  # that of what is skipped, too
        upsampled, kept = weight.split([weight.shape[1] - width, width], dim=1)
        return upsampling_kernel(upsampled), kept


def upsampled_convolution(x: Tensor, kernel: Tensor) -> Tensor:
    """A 3x3 'same' convolution of x (N, C, H, W) upsampled to (2H, 2W) by nearest neighbour.

    Nearest neighbours repeat, so each of the four phases of the output sees only 2 x 2 different
    pixels, under sums of the weights' taps. Together the phases are one transposed convolution of
    x itself, 4 x 4 at stride 2: the same numbers for 4/9 of the operations.

    Args:
        x: coarse features.
        kernel: the `upsampling_kernel` of the convolution's weights.
    """
    return F.conv_transpose2d(x, kernel, stride=2, padding=1)


def upsampling_kernel(weight: Tensor) -> Tensor:
    """The (C, O, 4, 4) kernel of that transposed convolution, from weights (O, C, 3, 3)."""
    for axis in (2, 3):
        before, middle, after = weight.unbind(axis)
        weight = torch.stack([after, middle + after, before + middle, before], axis)
    return weight.transpose(0, 1).contiguous(memory_format=torch.channels_last)


class UNet(nn.Module):
    """Patches (N, in_channels, H, W) to logits (N, 1, H, W); H and W are multiples of 8.

    With default arguments it is the reference network: 1,948,609 parameters, He-normal kernels
    (truncated), zero biases. Going up, the nearest-neighbour upsampled features come before the
    skipped ones in the concatenation. `modules()` yields the convolutions in forward order.

    Args:
        in_channels: channels of the image.
        widths: channels of the stages going down and, last, of the bottleneck.
    """

    def __init__(
        self,
        in_channels: int = 9,
        widths: Sequence[int] = (32, 64, 128, 256),
    ) -> None:
        super().__init__()
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
        deviation = math.sqrt(2 / fan_in) / TRUNCATED_NORMAL_DEVIATION
        nn.init.trunc_normal_(module.weight, std=deviation, a=-2 * deviation, b=2 * deviation)
        if module.bias is not None:
            nn.init.zeros_(module.bias)
