"""Trained weights on disk: safetensors with what is needed to rebuild the network."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import nn

from cloudmask.errors import InputError
from cloudmask.files import write_durably
from cloudmask.model.unet import UNet

FORMAT = "cloudmask-unet-2"


def save_weights(
    path: Path, network: nn.Module, arguments: Mapping[str, object] | None = None
) -> None:
    """Write the weights of a `UNet`, and the arguments that it was made with, if any.

    The file appears complete or not at all.
    """
    tensors = {name: value.contiguous().cpu() for name, value in network.state_dict().items()}
    metadata = {"format": FORMAT, "unet": json.dumps(dict(arguments or {}))}
    write_durably(path, save(tensors, metadata=metadata))


def load_weights(path: Path) -> UNet:
    """The network that `save_weights` wrote, on the CPU and ready to predict.

    Raises:
        InputError: the file is missing, damaged, or not one of these.
    """
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (OSError, SafetensorError) as error:
        raise InputError(f"weights {path} cannot be read ({error}): give another file") from error
    if metadata.get("format") != FORMAT:
        raise InputError(
            f"weights {path} are not those of this program's network: give another file"
        )
    network = UNet(**json.loads(metadata["unet"]))
    network.load_state_dict(tensors)
    return network.eval()
