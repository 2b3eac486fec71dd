"""The benchmark's loss: weighted binary cross entropy."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits

# The reference clips probabilities to [1e-7, 1 - 1e-7], which bounds the logarithms.
PROBABILITY_FLOOR = 1e-7
MAXIMUM_LOGIT = math.log((1 - PROBABILITY_FLOOR) / PROBABILITY_FLOOR)


def weighted_bce(logits: Tensor, labels: Tensor, positive_weight: float = 1.0) -> Tensor:
    """Mean over pixels of -(b y log p + (1 - y) log(1 - p)), p = sigmoid(logit), in float32.

    Args:
        logits: any shape.
        labels: the same shape, 1 for cloud and 0 for clear sky (any type).
        positive_weight: b, the weight of cloudy pixels; 1 gives plain binary cross entropy.
    """
    logits = logits.float().clamp(-MAXIMUM_LOGIT, MAXIMUM_LOGIT)
    # Filled on the device: copying a Python number would make the host wait in every step.
    weight = torch.full((), positive_weight, device=logits.device)
    return binary_cross_entropy_with_logits(logits, labels.float(), pos_weight=weight)
