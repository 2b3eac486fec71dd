"""Trained weights on disk: safetensors, marked as those of our network."""

from __future__ import annotations

from pathlib import Path

from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import nn

from cloudmask.errors import InputError
from cloudmask.model.unet import UNet
from cloudmask.training.durable import write_durably

FORMAT = "cloudmask-unet-2"


def save_weights(path: Path, network: nn.Module) -> None:
    """Write the weights of a `UNet`; the file appears complete or not at all."""
    tensors = {name: value.contiguous().cpu() for name, value in network.state_dict().items()}
    write_durably(path, save(tensors, metadata={"format": FORMAT}))


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
    network = UNet()
    network.load_state_dict(tensors)
    return network.eval()
