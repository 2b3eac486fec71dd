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

# From the paper: the polynomial a x + b x^3 + c x^5 that takes, in five turns, singular values
# between about 0.002 and 1 to between about 0.7 and 1.2.
COEFFICIENTS = (3.4445, -4.7750, 2.0315)
TURNS = 5
SMALLEST_NORM = 1e-7

# Wide kernels are taken apart: the work grows with the cube of the rows. On 60 synthetic patches,
# blocks of 64 rows learned as fast as whole kernels of up to 256.
BLOCK_ROWS = 64


class Muon(torch.optim.AdamW):
    """AdamW whose second group of parameters takes orthogonal steps.

    Args:
        kernels: weights (O, I, H, W) of convolutions, in channels-last layout.
        kernel_rate: their learning rate: the length of a step, as a spectral norm.
        kernel_momentum: the share of its last momentum in a kernel's next one.
        others: the other parameters; all that follows is AdamW's, and of these.

    Raises:
        ValueError: a kernel in another layout.
    """

    def __init__(
        self,
        kernels: Iterable[Tensor],
        kernel_rate: float,
        kernel_momentum: float,
        others: Iterable[Tensor],
        **adamw: Any,
    ) -> None:
        groups: list[dict[str, Any]] = [
            {"params": list(others)},
            {"params": list(kernels), "lr": kernel_rate, "momentum": kernel_momentum},
        ]
        for kernel in groups[1]["params"]:
            if not kernel.is_contiguous(memory_format=torch.channels_last):
                raise ValueError(
                    f"a kernel of shape {tuple(kernel.shape)} is not in channels-last layout"
                )
        super().__init__(groups, fused=True, **adamw)

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:  # type: ignore[override]
        """Take a step. AdamW leaves out the kernels, whose gradients are gone by then."""
        group = self.param_groups[1]
        for kernel in group["params"]:
            self._turn(kernel, kernel.grad, group)
            kernel.grad = None
        result: float | None = super().step(closure)
        return result

    def _turn(self, kernel: Tensor, gradient: Tensor, group: dict[str, Any]) -> None:
        rate, share = group["lr"], group["momentum"]
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
        momentum.lerp_(gradient, 1 - share)
        ahead = as_matrices(gradient.lerp(momentum, share))  # Nesterov's
        kernel.mul_(1 - rate * group["weight_decay"])
        as_matrices(kernel).baddbmm_(orthogonalisers(ahead) * rate, ahead, alpha=-1)


def orthogonalisers(matrices: Tensor) -> Tensor:
    """W (B, M, M) for matrices X (B, M, N), M <= N: the singular values of W X are about 1.

    The polynomial of X is one of X X^T, which is smaller, times X. Singular values that float32
    cannot tell from none in X X^T stay small.
    """
    a, b, c = COEFFICIENTS
    square = torch.bmm(matrices, matrices.mT)
    # The sum of the squares of singular values: none is larger than its root.
    size = square.diagonal(dim1=1, dim2=2).sum(1).clamp_min(SMALLEST_NORM**2)[:, None, None]
    square /= size
    whole: Tensor | None = None
    for turn in range(TURNS):
        factor = torch.baddbmm(square, square, square, beta=b, alpha=c)
        factor.diagonal(dim1=1, dim2=2).add_(a)
        whole = factor if whole is None else torch.bmm(factor, whole)
        if turn < TURNS - 1:
            square = torch.bmm(torch.bmm(factor, square), factor)
    assert whole is not None
    return whole * size.rsqrt()


def as_matrices(kernel: Tensor) -> Tensor:
    """(O, I, H, W) as blocks of rows (B, O / B, H x W x I): in channels-last layout, no copy."""
    rows = BLOCK_ROWS if len(kernel) % BLOCK_ROWS == 0 else len(kernel)
    return kernel.permute(0, 2, 3, 1).reshape(len(kernel) // rows, rows, -1)
