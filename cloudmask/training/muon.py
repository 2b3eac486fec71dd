"""Muon: momentum steps of the convolution kernels, each made orthogonal; AdamW for all the rest.

After Jordan et al. (2024), "Muon: An optimizer for hidden layers in neural networks". A kernel is
a matrix with a row for each channel that it gives. Its momentum has a few large singular values;
a step in which all are about 1 learns the rare directions as fast as the common ones.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor

# From the paper: the momentum, and the polynomial a x + b x^3 + c x^5 that takes, in five turns,
# singular values between about 0.002 and 1 to between about 0.7 and 1.2.
MOMENTUM = 0.95
COEFFICIENTS = (3.4445, -4.7750, 2.0315)
TURNS = 5
SMALLEST_NORM = 1e-7


class Muon(torch.optim.AdamW):
    """AdamW whose second group of parameters takes orthogonal steps.

    Args:
        kernels: weights (O, I, H, W) of convolutions.
        kernel_rate: their learning rate: the length of a step, as a spectral norm.
        others: the other parameters; all that follows is AdamW's, and of these.
    """

    def __init__(
        self,
        kernels: Iterable[Tensor],
        kernel_rate: float,
        others: Iterable[Tensor],
        **adamw: Any,
    ) -> None:
        groups: list[dict[str, Any]] = [
            {"params": list(others)},
            {"params": list(kernels), "lr": kernel_rate},
        ]
        super().__init__(groups, fused=True, **adamw)

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:  # type: ignore[override]
        """Take a step. AdamW leaves out the kernels, whose gradients are gone by then."""
        group = self.param_groups[1]
        for kernel in group["params"]:
            self._turn(kernel, kernel.grad, group["lr"], group["weight_decay"])
            kernel.grad = None
        result: float | None = super().step(closure)
        return result

    def _turn(
        self, kernel: Tensor, gradient: Tensor, rate: float | Tensor, weight_decay: float
    ) -> None:
        state = self.state[kernel]
        if not state:
            # AdamW wants a count of steps in every state.
            state["step"] = torch.zeros((), device=kernel.device)
            state["momentum"] = torch.zeros_like(kernel)
        momentum = state["momentum"]
        # Set by a gradient scaler; whether gradients overflowed, the host need not know.
        overflow, scale = (getattr(self, name, None) for name in ("found_inf", "grad_scale"))
        if scale is not None:
            gradient = gradient / scale
        if overflow is not None:
            gradient = torch.where(overflow > 0, momentum, gradient)
            rate = rate * (1 - overflow)
        momentum.lerp_(gradient, 1 - MOMENTUM)
        ahead = gradient.lerp(momentum, MOMENTUM)  # Nesterov's
        direction = as_kernel(orthogonal(as_matrix(ahead)), kernel)
        kernel.mul_(1 - rate * weight_decay).sub_(rate * direction)


def orthogonal(matrix: Tensor) -> Tensor:
    """The nearest matrix (M, N), M <= N, with singular values of about 1.

    The polynomial of x is one of x x^T, which is smaller, times x. Singular values that float32
    cannot tell from none in x x^T stay small.
    """
    a, b, c = COEFFICIENTS
    x: Tensor = matrix / matrix.norm().clamp_min(SMALLEST_NORM)
    square = x @ x.T
    whole = torch.eye(len(x), dtype=x.dtype, device=x.device)
    for turn in range(TURNS):
        factor = torch.addmm(square, square, square, beta=b, alpha=c)
        factor.diagonal().add_(a)
        whole = factor @ whole
        if turn < TURNS - 1:
            square = factor @ square @ factor
    return whole @ x


def as_matrix(kernel: Tensor) -> Tensor:
    """(O, I, H, W) as (O, H x W x I): where it lies in channels-last layout, no copy."""
    return kernel.permute(0, 2, 3, 1).reshape(len(kernel), -1)


def as_kernel(matrix: Tensor, like: Tensor) -> Tensor:
    """The inverse of `as_matrix`, for a kernel of this shape."""
    channels, rows, columns = like.shape[1:]
    return matrix.view(-1, rows, columns, channels).permute(0, 3, 1, 2)
