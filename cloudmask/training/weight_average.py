"""A running average of a network's weights, which is what gets evaluated."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

import torch
from torch import nn

REACH = 12


class WeightAverage:
    """Exponential average of parameters, without ever waiting for the device.

    (torch's own `AveragedModel` asks the device at every update how many there were.)

    Attributes:
        network: the averaged network; not trained itself.
    """

    def __init__(self, network: nn.Module, decay: float) -> None:
        self.network = copy.deepcopy(network).requires_grad_(False)
        self.decay = decay
        self.updates = 0

    @torch.no_grad()
    def update(self, network: nn.Module) -> None:
        """Move towards the network's weights: fast at first, so that the start is forgotten.

        Until `decay` is reached, the average reaches back over one in REACH of all steps.
        """
        decay = min(self.decay, (1 + self.updates) / (1 + REACH + self.updates))
        torch._foreach_lerp_(
            list(self.network.parameters()), list(network.parameters()), weight=1 - decay
        )
        self.updates += 1

    def state(self) -> dict[str, Any]:
        """What `load_state` takes: the network's tensors themselves, and the number of updates."""
        return {"network": self.network.state_dict(), "updates": self.updates}

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Stand where `state` was taken."""
        self.network.load_state_dict(state["network"])
        self.updates = state["updates"]
