"""Weights in a file: the same network when they are read, and no file that is not one of ours."""

from __future__ import annotations

import json

import pytest
import torch
from safetensors.torch import save_file

from cloudmask.errors import InputError
from cloudmask.model.unet import UNet
from cloudmask.model.weights import load_weights, save_weights

NARROW = {"widths": (2, 2, 2, 2)}


def saved(tmp_path, **metadata):
    """A file with the tensors of a narrow network and this metadata."""
    path = tmp_path / "weights_0.safetensors"
    save_file(UNet(**NARROW).state_dict(), path, metadata or None)
    return path


def test_a_saved_network_is_rebuilt_with_its_arguments_and_weights(tmp_path):
    path = tmp_path / "weights_0.safetensors"
    network = UNet(**NARROW)
    save_weights(path, network)
    loaded = load_weights(path)
    assert not loaded.training
    images = torch.randn(1, 9, 16, 16)
    with torch.inference_mode():
        assert torch.equal(loaded(images), network(images))


def test_a_file_without_arguments_is_of_the_default_network(tmp_path):
    path = tmp_path / "weights_0.safetensors"
    network = UNet()
    save_file(network.state_dict(), path, {"format": "cloudmask-unet-2", "unet": "{}"})
    loaded = load_weights(path).state_dict()
    assert all(torch.equal(loaded[name], value) for name, value in network.state_dict().items())


@pytest.mark.parametrize("content", [None, b"", b"garbage"])
def test_a_missing_or_damaged_file_is_named(tmp_path, content):
    path = tmp_path / "weights_0.safetensors"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(InputError, match=rf"^weights file {path} cannot be read \("):
        load_weights(path)


def test_a_file_that_is_cut_off_is_named(tmp_path):
    path = tmp_path / "weights_0.safetensors"
    save_weights(path, UNet(**NARROW))
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(InputError, match=rf"^weights file {path} cannot be read \("):
        load_weights(path)


@pytest.mark.parametrize("metadata", [{}, {"format": "pt"}, {"format": "cloudmask-checkpoint-2"}])
def test_a_file_of_another_format_is_refused(tmp_path, metadata):
    path = saved(tmp_path, **metadata, **({"unet": json.dumps(NARROW)} if metadata else {}))
    with pytest.raises(InputError, match=rf"^weights file {path} is not a CloudMask weights file"):
        load_weights(path)


@pytest.mark.parametrize(
    "arguments", [None, "no JSON", "[]", "{}", '{"depth": 3}', '{"widths": [2, 2, 2, 4]}']
)
def test_a_file_of_another_network_is_refused(tmp_path, arguments):
    unet = {} if arguments is None else {"unet": arguments}
    path = saved(tmp_path, format="cloudmask-unet-2", **unet)
    with pytest.raises(InputError, match=rf"^weights file {path} does not fit this version's"):
        load_weights(path)
