"""Trained weights on disk: a safetensors file with the arguments that rebuild the network."""

from __future__ import annotations

import json
from pathlib import Path

from cloudmask.errors import InputError
from cloudmask.model.tensor_file import read_tensors, write_tensors
from cloudmask.model.unet import UNet

FORMAT = "cloudmask-unet-2"
KIND = "weights file"


def save_weights(path: Path, network: UNet) -> None:
    """Write the weights of a network and the arguments it was constructed with.

    Raises:
        OSError: the file could not be written; an earlier file of this name is kept.
    """
    tensors = {name: value.contiguous().cpu() for name, value in network.state_dict().items()}
    write_tensors(path, FORMAT, tensors, unet=json.dumps(network.arguments))


def load_weights(path: Path) -> UNet:
    """Read a network that `save_weights` wrote: on the CPU and in evaluation mode.

    Raises:
        InputError: the file is missing, damaged, not a weights file, or of another network.
    """
    tensors, metadata = read_tensors(path, FORMAT, KIND)
    try:
        network = UNet(**json.loads(metadata["unet"]))
        network.load_state_dict(tensors)
    except (KeyError, RuntimeError, TypeError, ValueError) as error:
        raise InputError(
            f"{KIND} {path} does not fit this version's network ({_first_line(error)}): "
            "give another file"
        ) from error
    return network.eval()


def _first_line(error: Exception) -> str:
    return str(error).partition("\n")[0]
