"""The learning-rate schedule: linear warm-up, then halved when validation accuracy stalls."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


class LearningRateSchedule:
    """The scale of an optimizer's learning rates.

    Args:
        warmup_steps: steps below the peak; in step n, from 1, the scale is n / (warmup_steps + 1).
        patience: epochs without a new best accuracy after which the scale is halved; 0: never.

    Attributes:
        steps: finished optimizer steps, counted by the trainer.
    """

    def __init__(self, warmup_steps: int, patience: int) -> None:
        self.warmup_steps, self.patience = warmup_steps, patience
        self.steps = self.halvings = self.stalled_epochs = 0
        self.best_accuracy = 0.0

    @property
    def scale(self) -> float:
        """The scale of the next step."""
        warm_up = min(1.0, (self.steps + 1) / (self.warmup_steps + 1))
        return float(warm_up * 0.5**self.halvings)

    def record_accuracy(self, accuracy: float) -> None:
        """Halve the scale if an epoch's validation accuracy is the last of `patience` stalls."""
        self.stalled_epochs += 1
        if accuracy > self.best_accuracy:
            self.best_accuracy = accuracy
            self.stalled_epochs = 0
        if self.patience and self.stalled_epochs == self.patience:
            self.halvings += 1
            self.stalled_epochs = 0

    def state(self) -> dict[str, Any]:
        """The values that `load_state` restores, by the names they have in checkpoints."""
        plateau = [self.halvings, self.best_accuracy, self.stalled_epochs]
        return {"steps": self.steps, "plateau": plateau}

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Restore the schedule to `state`."""
        self.steps = state["steps"]
        self.halvings, self.best_accuracy, self.stalled_epochs = state["plateau"]
