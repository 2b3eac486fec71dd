"""A trained network that masks scenes: what `infer` and `cloudmask.mask` share."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from cloudmask.errors import InputError
from cloudmask.inference.whole_scene import Tiling, predict_scene
from cloudmask.machine.system.threads import limit_threads
from cloudmask.model.card import Card
from cloudmask.model.precision import Precision, choose_precision
from cloudmask.model.prediction import inference_copy
from cloudmask.model.weights import load_weights_and_card
from cloudmask.scenes.mask_attributes import Provenance
from cloudmask.scenes.mask_variables import (
    CLOUD_PROBABILITY,
    Variable,
    flag_bits,
    mask_variables,
)
from cloudmask.scenes.scene import Scene, normalise


@dataclass(frozen=True)
class NetworkOptions:
    """The network, and how it makes masks.

    Attributes:
        threshold: a pixel is cloud where its probability is above it.
        batch_size: tiles at once, with tiling 'reference'.
    """

    weights: Path
    threshold: float = CLOUD_PROBABILITY
    tiling: Tiling = "whole"
    batch_size: int = 8
    precision: str = "auto"

    def __post_init__(self) -> None:
        if not 0 < self.threshold < 1:
            raise InputError(
                f"threshold is {self.threshold}: give a probability between 0 and 1, such as 0.5"
            )


class Masker:
    """A trained network on a device.

    Attributes:
        card: of the weights.
        digest: SHA-256 of the weights file.

    Raises:
        InputError: the weights cannot be used, or the device lacks the precision.
    """

    def __init__(self, options: NetworkOptions, device: torch.device | None = None) -> None:
        if device is None:
            device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        limit_threads()
        self.options = options
        self.precision: Precision = choose_precision(options.precision, device)
        network, self.card = load_weights_and_card(options.weights)
        network.to(device)
        network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.network: nn.Module = inference_copy(network, self.precision.dtype)
        self.digest = sha256_of(options.weights)

    def predict(self, scene: Scene) -> NDArray[np.float32]:
        """Cloud probability (rows, columns) of a scene, NaN where nothing was measured.

        The scene's channels are normalised in place.
        """
        probability = predict_scene(
            self.network,
            normalise(scene.channels),
            self.precision,
            self.options.batch_size,
            self.options.tiling,
            self.card.temperature,
        )
        probability[scene.not_measured] = np.nan
        return probability

    def variables(self, scene: Scene, probability: NDArray[np.float32]) -> dict[str, Variable]:
        """What the scene's mask holds."""
        bits = flag_bits(scene.missing, scene.flags)
        return mask_variables(probability, bits, scene.flags, self.options.threshold)

    def provenance(self, product: str, command: str, **of_scene: Any) -> Provenance:
        """Where a mask comes from; `of_scene` are its view and baseline."""
        return provenance(self.options, self.card, self.digest, product, command, **of_scene)


def provenance(
    options: NetworkOptions, card: Card, digest: str, product: str, command: str, **of_scene: Any
) -> Provenance:
    """Where a mask comes from that is made with these options; see `Masker.provenance`."""
    return Provenance(
        product=product,
        weights=options.weights.name,
        weights_sha256=digest,
        command=command,
        trained_on=card.trained_on,
        card=card.to_json(),
        threshold=options.threshold,
        tiling=options.tiling,
        **of_scene,
    )


def sha256_of(path: Path) -> str:
    """SHA-256 of a file, in hexadecimal."""
    return hashlib.sha256(path.read_bytes()).hexdigest()
