"""Exponential moving average of a network's weights, used for evaluation."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

import torch
from torch import nn

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

    @torch.no_grad()
    def update(self, network: nn.Module) -> None:
        """Add a network's weights to the average.

        The decay of update n, from 1, is n / (n + REACH), at most `decay`, so that the initial
        weights are forgotten.
        """
        decay = min(self.decay, (1 + self.updates) / (1 + REACH + self.updates))
        torch._foreach_lerp_(
            list(self.network.parameters()), list(network.parameters()), weight=1 - decay
        )
        self.updates += 1

    def state(self) -> dict[str, Any]:
        """The state that `load_state` restores; its tensors are not copied."""
        return {"network": self.network.state_dict(), "updates": self.updates}

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Restore the average to `state`."""
        self.network.load_state_dict(state["network"])
        self.updates = state["updates"]
