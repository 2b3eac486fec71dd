"""What changes the weights: Adam or AdamW, or Muon for the kernels and AdamW for all the rest.

torch.optim's classes import torch's compiler, a second before every run; its functions do not.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Protocol, cast

import torch
from torch import Tensor, nn
from torch.optim.adam import adam
from torch.optim.adamw import adamw

from cloudmask.config import Config
from cloudmask.training.muon import Muon

BETAS = (0.9, 0.999)


class Part(Protocol):
    """Changes some of the parameters."""

    parameters: list[Tensor]

    def step(self, factor: float, scale: Tensor | None, overflow: Tensor | None) -> None:
        """Take a step of so many times the learning rate.

        Gradients are `scale` times what they should be, and no step is taken if `overflow` is 1.
        """

    def state(self) -> dict[str, list[Tensor]]:
        """The tensors that steps change, by name."""


class Adam:
    """Adam, or with `decoupled` weight decay AdamW."""

    def __init__(
        self,
        parameters: Iterable[Tensor],
        rate: float,
        epsilon: float,
        weight_decay: float,
        decoupled: bool,
    ) -> None:
        self.parameters = list(parameters)
        self.rate, self.epsilon = rate, epsilon
        self.weight_decay, self.decoupled = weight_decay, decoupled
        self.means = [torch.zeros_like(each) for each in self.parameters]
        self.squares = [torch.zeros_like(each) for each in self.parameters]
        self.steps = [torch.zeros((), device=each.device) for each in self.parameters]

    def step(self, factor: float, scale: Tensor | None, overflow: Tensor | None) -> None:
        """See `Part`."""
        gradients = cast(list[Tensor], [each.grad for each in self.parameters])
        (adamw if self.decoupled else adam)(
            *(self.parameters, gradients, self.means, self.squares, [], self.steps),
            fused=True,
            grad_scale=scale,
            found_inf=overflow,
            amsgrad=False,
            beta1=BETAS[0],
            beta2=BETAS[1],
            lr=self.rate * factor,
            weight_decay=self.weight_decay,
            eps=self.epsilon,
            maximize=False,
        )

    def state(self) -> dict[str, list[Tensor]]:
        """See `Part`."""
        return {"means": self.means, "squares": self.squares, "steps": self.steps}


class Optimizer:
    """The optimizer of a run, as a gradient scaler wants it."""

    # A scaler then leaves here, for the time of a step, what the step has to deal with.
    _step_supports_amp_scaling = True

    def __init__(self, config: Config, network: nn.Module) -> None:
        others, self.parts = list(network.parameters()), list[Part]()
        if config.optimizer == "muon":
            kernels = [each for each in others if each.ndim == 4 and each.shape[-1] > 1]
            others = [each for each in others if all(each is not kernel for kernel in kernels)]
            rate, momentum = config.kernel_learning_rate, config.kernel_momentum
            self.parts.append(Muon(kernels, rate, momentum, config.weight_decay))
        decoupled = config.optimizer != "adam"
        rate, epsilon = config.learning_rate, config.adam_epsilon
        self.parts.append(Adam(others, rate, epsilon, config.weight_decay, decoupled))
        self.param_groups = [{"params": part.parameters} for part in self.parts]

    @torch.no_grad()
    def step(self, factor: float) -> None:
        """Take a step of so many times the learning rates."""
        scale, overflow = (getattr(self, name, None) for name in ("grad_scale", "found_inf"))
        for part in self.parts:
            part.step(factor, scale, overflow)

    def state(self) -> list[dict[str, list[Tensor]]]:
        """What `load_state` takes: the tensors themselves."""
        return [part.state() for part in self.parts]

    @torch.no_grad()
    def load_state(self, state: list[Mapping[str, list[Tensor]]]) -> None:
        """Stand where `state` was taken."""
        for part, of_part in zip(self.parts, state, strict=True):
            for name, tensors in part.state().items():
                for mine, theirs in zip(tensors, of_part[name], strict=True):
                    mine.copy_(theirs)
