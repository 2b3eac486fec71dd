"""Trained weights on disk: a safetensors file with the network's arguments and a card."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

from cloudmask.errors import InputError
from cloudmask.model.card import Card, card_from_json
from cloudmask.model.tensor_file import read_tensors, write_tensors
from cloudmask.model.unet import UNet

FORMAT = "cloudmask-unet-2"
KIND = "weights file"
NAMES = "weights_*.safetensors"
LATEST = "latest"


def save_weights(path: Path, network: UNet, card: Card | None = None) -> None:
    """Write the weights of a network, the arguments it was constructed with, and its card.

    Raises:
        OSError: the file could not be written; an earlier file of this name is kept.
    """
    tensors = {name: value.contiguous().cpu() for name, value in network.state_dict().items()}
    text = {"unet": json.dumps(network.arguments)}
    if card is not None:
        text["card"] = card.to_json()
    write_tensors(path, FORMAT, tensors, **text)


def load_weights(path: Path) -> UNet:
    """Read a network that `save_weights` wrote: on the CPU and in evaluation mode.

    Raises:
        InputError: the file is missing, damaged, not a weights file, or of another network.
    """
    return load_weights_and_card(path)[0]


def load_weights_and_card(path: Path) -> tuple[UNet, Card]:
    """As `load_weights`, with the card of the weights.

    Raises:
        InputError: see `load_weights`; or the card cannot be read.
    """
    tensors, metadata = read_tensors(path, FORMAT, KIND)
    try:
        network = UNet(**json.loads(metadata["unet"]))
        network.load_state_dict(tensors)
        card = card_from_json(metadata.get("card"))
    except (KeyError, RuntimeError, TypeError, ValueError) as error:
        raise InputError(
            f"{KIND} {path} does not fit this version's network ({_first_line(error)}): "
            "give another file"
        ) from error
    return network.eval(), card


def find_weights(given: Path) -> Path:
    """The weights file that is meant: the given one, or the newest of a folder.

    `latest` stands for the folder of all logs: `LOGDIR` if it is set, else `logs`. The file that
    was found is named on standard error.

    Raises:
        InputError: the folder has no weights file at any depth.
    """
    folder = given
    if str(given) == LATEST and not given.exists():
        folder = Path(os.environ.get("LOGDIR") or "logs")
    elif not given.is_dir():
        return given
    # Runs of the same second are in the order of their numbers.
    found = [(path.stat().st_mtime, len(path.name), path) for path in folder.rglob(NAMES)]
    if not found:
        raise InputError(
            f"--weights {given}: no {NAMES} in {folder}: train first, or give a weights file"
        )
    newest = max(found)[-1]
    print(f"weights: {newest}", file=sys.stderr)
    return newest


def _first_line(error: Exception) -> str:
    return str(error).partition("\n")[0]
