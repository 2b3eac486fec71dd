"""Batch normalisation over the global batch, so that a run does not depend on its world size.

torch's own layer for this has no CPU kernels, and on GPUs it makes the host wait three times a
layer, because it allows for ranks without any patches. Here every rank has equally many.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.autograd.function import FunctionCtx, once_differentiable

from cloudmask.training.distributed import World

PIXELS = (0, 2, 3)
# Devices for which torch has a kernel for each of the four passes over the pixels.
FUSED_DEVICES = {"cuda"}


def with_global_statistics(network: nn.Module, world: World) -> nn.Module:
    """The network with its batch normalisations taking statistics over all ranks of the world.

    Weights and their names stay.
    """
    if world.size > 1:
        for module in network.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.__class__ = GlobalBatchNorm2d
    return network


class GlobalBatchNorm2d(nn.BatchNorm2d):
    """`BatchNorm2d` that, while training, sees the patches of every rank; equal shares each."""

    def forward(self, x: Tensor) -> Tensor:
        if not self.training:
            return super().forward(x)
        with torch.autocast(x.device.type, enabled=False):
            y, mean, variance, count = _normalise(x, self.weight, self.bias, self.eps)
        with torch.no_grad():
            assert self.running_mean is not None
            assert self.running_var is not None
            assert self.num_batches_tracked is not None
            assert self.momentum is not None
            self.num_batches_tracked.add_(1)
            self.running_mean.lerp_(mean, self.momentum)
            self.running_var.lerp_(variance * (count / (count - 1)), self.momentum)
        return y


class _Normalise(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: FunctionCtx, x: Tensor, weight: Tensor, bias: Tensor, epsilon: float
    ) -> tuple[Tensor, Tensor, Tensor, int]:
        # Means of squares add up over ranks; in float64 their difference loses nothing.
        mean, variance = (values.double() for values in _moments(x))
        moments = _sum_over_ranks([mean, variance + mean**2]) / dist.get_world_size()
        mean = moments[0].to(weight.dtype)
        variance = (moments[1] - moments[0] ** 2).clamp_min(0).to(weight.dtype)
        scale = torch.rsqrt(variance + epsilon)
        ctx.save_for_backward(x, weight, mean, scale)
        ctx.mark_non_differentiable(mean, variance)
        y = _normalised(x, weight, bias, mean, scale, epsilon)
        return y, mean, variance, _pixels(x) * dist.get_world_size()

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, dy: Tensor, *unused: Any) -> tuple[Tensor | None, ...]:
        x, weight, mean, scale = ctx.saved_tensors
        dy = dy.contiguous(memory_format=torch.channels_last)
        sums = _sums(dy, x, mean, scale, weight)
        everyones = _sum_over_ranks(sums)
        dx = _input_gradient(dy, x, mean, scale, weight, *everyones)
        return dx, sums[1] * scale, sums[0], None


def _normalise(
    x: Tensor, weight: Tensor, bias: Tensor, epsilon: float
) -> tuple[Tensor, Tensor, Tensor, int]:
    x = x.contiguous(memory_format=torch.channels_last)
    result: tuple[Tensor, Tensor, Tensor, int] = _Normalise.apply(x, weight, bias, epsilon)
    return result


def _moments(x: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and variance of this rank's pixels, by channel."""
    if x.device.type in FUSED_DEVICES:
        mean, inverse_deviation = torch.batch_norm_stats(x, 0.0)
        return mean, inverse_deviation.double() ** -2
    variance, mean = torch.var_mean(_exact(x), dim=PIXELS, correction=0)
    return mean, variance


def _normalised(
    x: Tensor, weight: Tensor, bias: Tensor, mean: Tensor, scale: Tensor, epsilon: float
) -> Tensor:
    if x.device.type in FUSED_DEVICES:
        return torch.batch_norm_elemt(x, weight, bias, mean, scale, epsilon)
    normal = (_exact(x) - _by_channel(mean)) * _by_channel(scale)
    return (normal * _by_channel(weight) + _by_channel(bias)).to(x.dtype)


def _sums(dy: Tensor, x: Tensor, mean: Tensor, scale: Tensor, weight: Tensor) -> list[Tensor]:
    """Of dy and of dy (x - mean), over this rank's pixels, by channel."""
    if x.device.type in FUSED_DEVICES:
        # The gradients of weight and bias, which it also gives, follow from these two.
        return list(torch.batch_norm_backward_reduce(dy, x, mean, scale, weight, True, True, True))[
            :2
        ]
    exact = _exact(dy)
    return [exact.sum(PIXELS), (exact * (_exact(x) - _by_channel(mean))).sum(PIXELS)]


def _input_gradient(
    dy: Tensor,
    x: Tensor,
    mean: Tensor,
    scale: Tensor,
    weight: Tensor,
    sum_dy: Tensor,
    sum_dy_x: Tensor,
) -> Tensor:
    """From the sums over every rank's pixels."""
    ranks = dist.get_world_size()
    if x.device.type in FUSED_DEVICES:
        counts = torch.full((ranks,), _pixels(x), dtype=torch.int32, device=x.device)
        return torch.batch_norm_backward_elemt(dy, x, mean, scale, weight, sum_dy, sum_dy_x, counts)
    pixels = _pixels(x) * ranks
    slope = (_exact(x) - _by_channel(mean)) * _by_channel(scale**2 * sum_dy_x / pixels)
    dx = (_exact(dy) - _by_channel(sum_dy / pixels) - slope) * _by_channel(weight * scale)
    return dx.to(x.dtype)


def _pixels(x: Tensor) -> int:
    """Of each channel, on this rank."""
    return x.numel() // x.shape[1]


def _exact(x: Tensor) -> Tensor:
    """In float32 at least: sums over many pixels need it."""
    return x.to(torch.promote_types(x.dtype, torch.float32))


def _sum_over_ranks(values: list[Tensor]) -> Tensor:
    stacked = torch.stack(values)
    dist.all_reduce(stacked)
    return stacked


def _by_channel(values: Tensor) -> Tensor:
    return values.view(1, -1, 1, 1)
