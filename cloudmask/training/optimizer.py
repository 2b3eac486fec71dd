"""The optimizers: Adam, AdamW, or Muon for the 3x3 kernels with AdamW for all other parameters.

torch.optim's classes import torch's compiler, a second before every run; its functions do not.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import partial
from typing import Protocol, cast

import torch
from torch import Tensor, nn
from torch.optim.adam import adam
from torch.optim.adamw import adamw

from cloudmask.config import Config
from cloudmask.training.muon import Muon

BETAS = (0.9, 0.999)


class ParameterGroup(Protocol):
    """Parameters that are updated by one rule."""

    parameters: list[Tensor]

    def step(self, scale: float, grad_scale: Tensor | None, found_inf: Tensor | None) -> None:
        """Update the parameters.

        Args:
            scale: factor of the learning rate.
            grad_scale: what the gradients have been multiplied by, if anything.
            found_inf: 1 if gradients overflowed and the step must be skipped, else 0.
        """

    def state(self) -> dict[str, list[Tensor]]:
        """The tensors that steps update, by name."""


class Adam:
    """Adam, or AdamW if weight decay is `decoupled`."""

    def __init__(
        self,
        parameters: Iterable[Tensor],
        learning_rate: float,
        epsilon: float,
        weight_decay: float,
        decoupled: bool,
    ) -> None:
        self.parameters = list(parameters)
        self.learning_rate = learning_rate
        self.update = partial(
            adamw if decoupled else adam,
            fused=True,
            amsgrad=False,
            beta1=BETAS[0],
            beta2=BETAS[1],
            weight_decay=weight_decay,
            eps=epsilon,
            maximize=False,
        )
        self.means = [torch.zeros_like(each) for each in self.parameters]
        self.squares = [torch.zeros_like(each) for each in self.parameters]
        self.steps = [torch.zeros((), device=each.device) for each in self.parameters]

    def step(self, scale: float, grad_scale: Tensor | None, found_inf: Tensor | None) -> None:
        """See `ParameterGroup`."""
        gradients = cast(list[Tensor], [each.grad for each in self.parameters])
        self.update(
            *(self.parameters, gradients, self.means, self.squares, [], self.steps),
            lr=self.learning_rate * scale,
            grad_scale=grad_scale,
            found_inf=found_inf,
        )

    def state(self) -> dict[str, list[Tensor]]:
        """See `ParameterGroup`."""
        return {"means": self.means, "squares": self.squares, "steps": self.steps}


class Optimizer:
    """The optimizer of a run, with the interface that torch's gradient scaler expects."""

    # The scaler then sets `grad_scale` and `found_inf` on this object for the time of a step.
    _step_supports_amp_scaling = True

    def __init__(self, config: Config, network: nn.Module) -> None:
        others, self.groups = list(network.parameters()), list[ParameterGroup]()
        if config.optimizer == "muon":
            kernels = [each for each in others if each.ndim == 4 and each.shape[-1] > 1]
            others = [each for each in others if all(each is not kernel for kernel in kernels)]
            rate, momentum = config.kernel_learning_rate, config.kernel_momentum
            self.groups.append(Muon(kernels, rate, momentum, config.weight_decay))
        decoupled = config.optimizer != "adam"
        rate, epsilon = config.learning_rate, config.adam_epsilon
        self.groups.append(Adam(others, rate, epsilon, config.weight_decay, decoupled))
        self.param_groups = [{"params": group.parameters} for group in self.groups]

    @torch.no_grad()
    def step(self, scale: float) -> None:
        """Update all parameters, with learning rates multiplied by `scale`."""
        grad_scale, found_inf = (getattr(self, name, None) for name in ("grad_scale", "found_inf"))
        for group in self.groups:
            group.step(scale, grad_scale, found_inf)

    def state(self) -> list[dict[str, list[Tensor]]]:
        """The state that `load_state` restores; its tensors are not copied."""
        return [group.state() for group in self.groups]

    @torch.no_grad()
    def load_state(self, state: list[Mapping[str, list[Tensor]]]) -> None:
        """Restore the optimizer to `state`."""
        for group, saved in zip(self.groups, state, strict=True):
            for name, tensors in group.state().items():
                for tensor, value in zip(tensors, saved[name], strict=True):
                    tensor.copy_(value)
