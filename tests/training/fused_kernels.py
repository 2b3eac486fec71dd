"""CPU stand-ins for the four kernels of batch normalisation that torch has for GPUs only.

Importing this makes CPUs take the way of GPUs. What the kernels do is that of torch's own
`SyncBatchNorm`, which calls them with the same arguments.
"""

import torch
from torch.library import Library

from cloudmask.training.global_batch_norm import FUSED_DEVICES

PIXELS = (0, 2, 3)


def stats(x, eps):
    variance, mean = torch.var_mean(x, dim=PIXELS, correction=0)
    return mean, torch.rsqrt(variance + eps)


def elemt(x, weight, bias, mean, scale, eps):
    return (x - along(mean)) * along(scale * weight) + along(bias)


def backward_reduce(dy, x, mean, scale, weight, *wanted):
    assert dy.stride() == x.stride()
    assert x.is_contiguous(memory_format=torch.channels_last)
    sum_dy, sum_dy_x = dy.sum(PIXELS), (dy * (x - along(mean))).sum(PIXELS)
    return sum_dy, sum_dy_x, sum_dy_x * scale, sum_dy.clone()


def backward_elemt(dy, x, mean, scale, weight, sum_dy, sum_dy_x, counts):
    assert counts.dtype == torch.int32
    pixels = counts.sum()
    slope = (x - along(mean)) * along(scale**2 * sum_dy_x / pixels)
    return (dy - along(sum_dy / pixels) - slope) * along(scale * weight)


def along(values):
    return values.view(1, -1, 1, 1)


kernels = Library("aten", "IMPL")
kernels.impl("batch_norm_stats", stats, "CPU")
kernels.impl("batch_norm_elemt", elemt, "CPU")
kernels.impl("batch_norm_backward_reduce", backward_reduce, "CPU")
kernels.impl("batch_norm_backward_elemt", backward_elemt, "CPU")
FUSED_DEVICES.add("cpu")
