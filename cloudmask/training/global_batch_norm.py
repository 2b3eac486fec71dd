"""Batch normalisation over the global batch, so that a run does not depend on its world size."""

from __future__ import annotations

from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.autograd.function import FunctionCtx, once_differentiable

from cloudmask.training.distributed import World

PIXELS = (0, 2, 3)


def with_global_statistics(network: nn.Module, world: World) -> nn.Module:
    """The network with its batch normalisations taking statistics over all ranks of the world.

    Weights and their names stay. On GPUs this is torch's own layer, which has no CPU kernels.
    """
    if world.size == 1:
        return network
    if world.device.type == "cuda":
        converted: nn.Module = nn.SyncBatchNorm.convert_sync_batchnorm(network)
        return converted
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
        exact = _exact(x)
        variance, mean = torch.var_mean(exact, dim=PIXELS, correction=0)
        # Means of squares add up over ranks; in float64 their difference loses nothing.
        mean, variance = mean.double(), variance.double()
        moments = _mean_over_ranks(torch.stack([mean, variance + mean**2]))
        mean = moments[0].to(exact.dtype)
        variance = (moments[1] - moments[0] ** 2).to(exact.dtype)
        scale = torch.rsqrt(variance + epsilon)
        ctx.save_for_backward(x, weight, mean, scale)
        normal = (exact - _by_channel(mean)) * _by_channel(scale)
        y = (normal * _by_channel(weight) + _by_channel(bias)).to(x.dtype)
        count = x.numel() // x.shape[1] * dist.get_world_size()
        ctx.mark_non_differentiable(mean, variance)
        return y, mean, variance, count

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, dy: Tensor, *unused: Any) -> tuple[Tensor | None, ...]:
        x, weight, mean, scale = ctx.saved_tensors
        dy = _exact(dy)
        normal = (_exact(x) - _by_channel(mean)) * _by_channel(scale)
        d_bias, d_weight = dy.sum(PIXELS), (dy * normal).sum(PIXELS)
        pixels = x.numel() // x.shape[1]
        shift, slope = _mean_over_ranks(torch.stack([d_bias, d_weight]) / pixels)
        dx = (dy - _by_channel(shift) - normal * _by_channel(slope)) * _by_channel(weight * scale)
        return dx.to(x.dtype), d_weight, d_bias, None


def _normalise(
    x: Tensor, weight: Tensor, bias: Tensor, epsilon: float
) -> tuple[Tensor, Tensor, Tensor, int]:
    result: tuple[Tensor, Tensor, Tensor, int] = _Normalise.apply(x, weight, bias, epsilon)
    return result


def _exact(x: Tensor) -> Tensor:
    """In float32 at least: sums over many pixels need it."""
    return x.to(torch.promote_types(x.dtype, torch.float32))


def _mean_over_ranks(values: Tensor) -> Tensor:
    dist.all_reduce(values)
    return values / dist.get_world_size()


def _by_channel(values: Tensor) -> Tensor:
    return values.view(1, -1, 1, 1)
