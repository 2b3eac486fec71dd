"""Augmentation: batches in the eight symmetries of a square."""

from __future__ import annotations

import torch
from torch import Tensor

SYMMETRIES = 8


def flip_and_transpose(images: Tensor, labels: Tensor, symmetry: int) -> tuple[Tensor, Tensor]:
    """Flip and transpose a batch; clouds have no preferred orientation in a patch.

    Args:
        images: (N, C, P, P).
        labels: (N, 1, P, P).
        symmetry: 0 to 7. Bit 0 flips rows, bit 1 flips columns, bit 2 then transposes.

    Returns:
        Images in channels-last layout, and labels.
    """
    flipped = [axis for bit, axis in ((1, 2), (2, 3)) if symmetry & bit]
    if flipped:
        images, labels = images.flip(flipped), labels.flip(flipped)
    if symmetry & 4:
        images, labels = images.transpose(2, 3), labels.transpose(2, 3)
    return images.contiguous(memory_format=torch.channels_last), labels
