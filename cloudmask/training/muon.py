"""Muon: momentum updates of convolution kernels, orthogonalised by Newton-Schulz iterations.

Jordan et al. (2024), "Muon: An optimizer for hidden layers in neural networks". A kernel is a
matrix with one row per output channel. Its momentum has a few large singular values; an update
whose singular values are all about 1 learns rare directions as fast as common ones.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable

import torch
from torch import Tensor

# From the paper: five iterations of the polynomial a x + b x^3 + c x^5 map singular values between
# about 0.002 and 1 to values between about 0.7 and 1.2.
COEFFICIENTS = (3.4445, -4.7750, 2.0315)
ITERATIONS = 5
SMALLEST_NORM = 1e-7

# Wide kernels are split into row blocks: Newton-Schulz costs O(rows^3). On 60 synthetic patches,
# blocks of 64 rows learned as fast as whole kernels of up to 256.
BLOCK_ROWS = 64


class Muon:
    """Parameter group of convolution kernels that take orthogonalised steps.

    Args:
        kernels: weights (O, I, H, W) of convolutions, in channels-last layout.
        learning_rate: spectral norm of a step.
        momentum: decay of the moving average of gradients; a step uses Nesterov momentum.
        weight_decay: decoupled weight decay, as a share of the learning rate.

    Raises:
        ValueError: a kernel is not in channels-last layout.
    """

    def __init__(
        self, kernels: Iterable[Tensor], learning_rate: float, momentum: float, weight_decay: float
    ) -> None:
        self.parameters = list(kernels)
        # Row blocks of equal height are orthogonalised in one batch, whatever their width.
        self._indices_by_rows: defaultdict[int, list[int]] = defaultdict(list)
        for index, kernel in enumerate(self.parameters):
            if not kernel.is_contiguous(memory_format=torch.channels_last):
                raise ValueError(
                    f"a kernel of shape {tuple(kernel.shape)} is not in channels-last layout"
                )
            self._indices_by_rows[block_rows(kernel)].append(index)
        self.learning_rate, self.momentum = learning_rate, momentum
        self.weight_decay = weight_decay
        self.averages = [torch.zeros_like(kernel) for kernel in self.parameters]

    def step(self, scale: float, grad_scale: Tensor | None, found_inf: Tensor | None) -> None:
        """See `ParameterGroup`. The host never reads `found_inf`."""
        gradients = [kernel.grad for kernel in self.parameters if kernel.grad is not None]
        rate: float | Tensor = self.learning_rate * scale
        if grad_scale is not None:
            gradients = list(torch._foreach_div(gradients, grad_scale))
        if found_inf is not None:
            rate = rate * (1 - found_inf)
            gradients = [
                torch.where(found_inf > 0, average, gradient)
                for average, gradient in zip(self.averages, gradients, strict=True)
            ]
        torch._foreach_lerp_(self.averages, gradients, 1 - self.momentum)
        nesterov = torch._foreach_lerp(gradients, self.averages, self.momentum)
        torch._foreach_mul_(self.parameters, 1 - rate * self.weight_decay)
        for indices in self._indices_by_rows.values():
            updates = [row_blocks(nesterov[index]) for index in indices]
            products = [torch.bmm(x, x.mT) for x in updates]
            roots = inverse_square_roots(torch.cat(products)) * rate
            for index, root, update in zip(
                indices, roots.split(list(map(len, products))), updates, strict=True
            ):
                row_blocks(self.parameters[index]).baddbmm_(root, update, alpha=-1)

    def state(self) -> dict[str, list[Tensor]]:
        """See `ParameterGroup`."""
        return {"momenta": self.averages}


def inverse_square_roots(products: Tensor) -> Tensor:
    """About (X X^T)^(-1/2) for each X X^T (B, M, M), by Newton-Schulz iterations.

    The singular values of its product with X are about 1. Those that float32 cannot distinguish
    from zero in X X^T stay small.
    """
    a, b, c = COEFFICIENTS
    # The Frobenius norm of X bounds its singular values; its square is the trace of X X^T.
    squared_norm = products.diagonal(dim1=1, dim2=2).sum(1).clamp_min(SMALLEST_NORM**2)
    squared_norm = squared_norm[:, None, None]
    square = products / squared_norm
    root: Tensor | None = None
    for iteration in range(ITERATIONS):
        factor = torch.baddbmm(square, square, square, beta=b, alpha=c)
        factor.diagonal(dim1=1, dim2=2).add_(a)
        root = factor if root is None else torch.bmm(factor, root)
        if iteration < ITERATIONS - 1:
            square = torch.bmm(torch.bmm(factor, square), factor)
    assert root is not None
    return root * squared_norm.rsqrt()


def block_rows(kernel: Tensor) -> int:
    """Rows per block of a kernel (O, I, H, W)."""
    return BLOCK_ROWS if len(kernel) % BLOCK_ROWS == 0 else len(kernel)


def row_blocks(kernel: Tensor) -> Tensor:
    """View a channels-last kernel (O, I, H, W) as row blocks (B, O / B, H x W x I)."""
    rows = block_rows(kernel)
    return kernel.permute(0, 2, 3, 1).reshape(len(kernel) // rows, rows, -1)
