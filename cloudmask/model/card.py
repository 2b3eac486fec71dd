"""The card of weights: what they were trained on, how, and what is not known of them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

from cloudmask.config import SYNTHETIC_DATASETS

LIMITS = (
    "imitates the Bayesian screen that its labels come from; nadir view of SLSTR; calibrated and "
    "scored on the validation scenes of its own data set"
)
SYNTHETIC_LIMITS = (
    "the clouds of synthetic scenes are simple: nothing is known of these weights on the real sky; "
    + LIMITS
)


@dataclass(frozen=True)
class Card:
    """Where weights come from, stored with them.

    Attributes:
        dataset: name of the data set in the run's log; '' if unknown.
        commit: of the program that trained them.
        recipe: a key of `config.RECIPES`.
        epochs: epochs trained.
        training_patches: patches in an epoch.
        validation_accuracy: share of the validation pixels that agree with the label; None if
            unknown.
        temperature: the calibration: logits are divided by it before the sigmoid.
        date: day of the training in UTC.
        limits: what the weights are not for.
    """

    dataset: str = ""
    commit: str = "unknown"
    recipe: str = ""
    seed: int | None = None
    epochs: int | None = None
    training_patches: int | None = None
    validation_accuracy: float | None = None
    temperature: float = 1.0
    date: str = ""
    limits: str = "unknown: the weights carry no card"

    @property
    def trained_on(self) -> str:
        """The data in words: 'synthetic scenes', 'data set ds1', or that it is unknown."""
        if not self.dataset:
            return "unknown scenes"
        if self.dataset == "twin":
            return "synthetic scenes like those of DS1"
        return "synthetic scenes" if self.dataset == "synthetic" else f"data set {self.dataset}"

    def summary(self) -> str:
        """One line for the screen."""
        if not self.dataset:
            return f"trained on {self.trained_on}: the weights carry no card"
        accuracy = self.validation_accuracy
        score = "" if accuracy is None else f", validation accuracy {accuracy:.4f}"
        warning = "; not for real scenes" if self.dataset in SYNTHETIC_DATASETS else ""
        return f"trained on {self.trained_on}{score}{warning}"

    def to_json(self) -> str:
        """The card as the text that `from_json` reads."""
        return json.dumps(asdict(self))


def limits_of(dataset: str) -> str:
    """What weights that were trained on a data set are not for."""
    return SYNTHETIC_LIMITS if dataset in SYNTHETIC_DATASETS else LIMITS


def card_from_json(text: str | None) -> Card:
    """The card of weights; a card that says it is unknown for weights without.

    Raises:
        ValueError: the text is no card.
    """
    if text is None:
        return Card()
    values = json.loads(text)
    if not isinstance(values, Mapping):
        raise ValueError("the card is no JSON object")
    known = {item.name for item in fields(Card)}
    card = Card(**{name: value for name, value in values.items() if name in known})
    if not _is_positive(card.temperature):
        raise ValueError(f"the card's temperature is {card.temperature}")
    return card


def _is_positive(value: Any) -> bool:
    return isinstance(value, (int, float)) and 0 < value < float("inf")
