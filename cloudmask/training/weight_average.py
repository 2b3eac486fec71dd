"""Exponential moving average of a network's weights, used for evaluation."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from cloudmask.model.unet import UNet

# At step n the average extends over about n / 12 steps, until `decay` is reached.
REACH = 12


class WeightAverage:
    """Exponential moving average of parameters that never synchronises with the device.

    (torch's `AveragedModel` reads the number of updates from the device in every update.)

    Args:
        network: its present weights are the start of the average.
        decay: largest share of the previous average in the next one.

    Attributes:
        network: the averaged network.
    """

    def __init__(self, network: UNet, decay: float) -> None:
        self.network = copy.deepcopy(network).requires_grad_(False)
        self.decay = decay
        self.updates = 0

    def next_weight(self) -> float:
        """The weight of the network in the next average; counts the update.

        The decay of update n, from 1, is n / (n + REACH), at most `decay`, so that the initial
        weights are forgotten; the weight is 1 - decay.
        """
        self.updates += 1
        return 1 - min(self.decay, self.updates / (REACH + self.updates))

    @torch.no_grad()
    def update(self, network: nn.Module, weight: float | Tensor) -> None:
        """Add a network's weights to the average, with `weight` from `next_weight`.

        Args:
            weight: a number, or a tensor of no dimension on the device of the network.
        """
        averages: list[Tensor] = list(self.network.parameters())
        values: list[Tensor] = list(network.parameters())
        if isinstance(weight, Tensor):  # torch has no lerp of lists with one tensor as weight
            differences = torch._foreach_sub(values, averages)
            torch._foreach_mul_(differences, weight)
            torch._foreach_add_(averages, differences)
        else:
            torch._foreach_lerp_(averages, values, weight=weight)

    def state(self) -> dict[str, Any]:
        """The state that `load_state` restores; its tensors are not copied."""
        return {"network": self.network.state_dict(), "updates": self.updates}

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Restore the average to `state`."""
        self.network.load_state_dict(state["network"])
        self.updates = state["updates"]
