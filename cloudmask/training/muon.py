"""Muon: momentum steps of the convolution kernels, each made orthogonal.

After Jordan et al. (2024), "Muon: An optimizer for hidden layers in neural networks". A kernel is
a matrix with a row for each channel that it gives. Its momentum has a few large singular values;
a step in which all are about 1 learns the rare directions as fast as the common ones.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable

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


class Muon:
    """Orthogonal steps of kernels; a `Part` of the optimizer.

    Args:
        kernels: weights (O, I, H, W) of convolutions, in channels-last layout.
        rate: the length of a step, as a spectral norm.
        momentum: the share of its last momentum in a kernel's next one.
        weight_decay: the share of a kernel that a step of length 1 would take off.

    Raises:
        ValueError: a kernel in another layout.
    """

    def __init__(
        self, kernels: Iterable[Tensor], rate: float, momentum: float, weight_decay: float
    ) -> None:
        self.parameters = list(kernels)
        # Blocks of equally many rows are worked on together, as wide as they may be.
        self._alike: defaultdict[int, list[int]] = defaultdict(list)
        for number, kernel in enumerate(self.parameters):
            if not kernel.is_contiguous(memory_format=torch.channels_last):
                raise ValueError(
                    f"a kernel of shape {tuple(kernel.shape)} is not in channels-last layout"
                )
            self._alike[block_rows(kernel)].append(number)
        self.rate, self.momentum, self.weight_decay = rate, momentum, weight_decay
        self.momenta = [torch.zeros_like(kernel) for kernel in self.parameters]

    def step(self, factor: float, scale: Tensor | None, overflow: Tensor | None) -> None:
        """See `Part`. Whether gradients overflowed, the host need not know."""
        gradients = [kernel.grad for kernel in self.parameters if kernel.grad is not None]
        rate: float | Tensor = self.rate * factor
        if scale is not None:
            gradients = [gradient / scale for gradient in gradients]
        if overflow is not None:
            rate = rate * (1 - overflow)
            gradients = [
                torch.where(overflow > 0, momentum, gradient)
                for momentum, gradient in zip(self.momenta, gradients, strict=True)
            ]
        torch._foreach_lerp_(self.momenta, gradients, 1 - self.momentum)
        ahead = torch._foreach_lerp(gradients, self.momenta, self.momentum)  # Nesterov's
        torch._foreach_mul_(self.parameters, 1 - rate * self.weight_decay)
        for numbers in self._alike.values():
            directions = [as_matrices(ahead[number]) for number in numbers]
            products = [torch.bmm(x, x.mT) for x in directions]
            turned = (orthogonalisers(torch.cat(products)) * rate).split(list(map(len, products)))
            for number, whole, direction in zip(numbers, turned, directions, strict=True):
                as_matrices(self.parameters[number]).baddbmm_(whole, direction, alpha=-1)

    def state(self) -> dict[str, list[Tensor]]:
        """See `Part`."""
        return {"momenta": self.momenta}


def orthogonalisers(products: Tensor) -> Tensor:
    """W (B, M, M) for X X^T (B, M, M): the singular values of W X are about 1.

    The polynomial of X is one of X X^T, which is smaller, times X. Singular values that float32
    cannot tell from none in X X^T stay small.
    """
    a, b, c = COEFFICIENTS
    # The sum of the squares of singular values: none is larger than its root.
    size = products.diagonal(dim1=1, dim2=2).sum(1).clamp_min(SMALLEST_NORM**2)[:, None, None]
    square = products / size
    whole: Tensor | None = None
    for turn in range(TURNS):
        factor = torch.baddbmm(square, square, square, beta=b, alpha=c)
        factor.diagonal(dim1=1, dim2=2).add_(a)
        whole = factor if whole is None else torch.bmm(factor, whole)
        if turn < TURNS - 1:
            square = torch.bmm(torch.bmm(factor, square), factor)
    assert whole is not None
    return whole * size.rsqrt()


def block_rows(kernel: Tensor) -> int:
    """Rows of the blocks that a kernel (O, I, H, W) is taken apart into."""
    return BLOCK_ROWS if len(kernel) % BLOCK_ROWS == 0 else len(kernel)


def as_matrices(kernel: Tensor) -> Tensor:
    """(O, I, H, W) as blocks (B, O / B, H x W x I): in channels-last layout, no copy."""
    rows = block_rows(kernel)
    return kernel.permute(0, 2, 3, 1).reshape(len(kernel) // rows, rows, -1)
