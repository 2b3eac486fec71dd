"""Weights in a file: the same network when they are read, and no file that is not one of ours."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from cloudmask.errors import InputError
from cloudmask.model.card import Card
from cloudmask.model.unet import UNet
from cloudmask.model.weights import (
    find_weights,
    load_weights,
    load_weights_and_card,
    save_weights,
)

NARROW = {"widths": (2, 2, 2, 2)}


def saved(tmp_path, **metadata):
    """A file with the tensors of a narrow network and this metadata."""
    path = tmp_path / "weights_0.safetensors"
    save_file(UNet(**NARROW).state_dict(), path, metadata or None)
    return path


def test_weights_of_the_twin_are_not_for_real_scenes():
    summary = Card(dataset="twin").summary()
    assert summary == "trained on synthetic scenes like those of DS1; not for real scenes"


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


def test_latest_is_the_newest_weights_file_of_all_logs_and_is_named(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("LOGDIR", raising=False)
    for name, seconds in (("CPU/weights_10", 100), ("CPU/weights_9", 100), ("GPU/weights_0", 50)):
        path = Path("logs", f"{name}.safetensors")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
        os.utime(path, (seconds, seconds))
    newest = Path("logs/CPU/weights_10.safetensors")
    assert find_weights(Path("latest")) == newest
    assert capsys.readouterr().err == f"weights: {newest}\n"
    assert find_weights(Path("logs/GPU")) == Path("logs/GPU/weights_0.safetensors")
    monkeypatch.setenv("LOGDIR", "logs/GPU")
    assert find_weights(Path("latest")) == Path("logs/GPU/weights_0.safetensors")


def test_a_given_file_is_taken_as_it_is(tmp_path, capsys):
    assert find_weights(tmp_path / "none.safetensors") == tmp_path / "none.safetensors"
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("given", ["latest", "empty"])
def test_a_folder_without_weights_is_refused(tmp_path, monkeypatch, given):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match=rf"--weights {given}: no weights_\*.safetensors in "):
        find_weights(Path(given))


def test_a_card_is_stored_with_the_weights_and_its_absence_is_told(tmp_path):
    path = tmp_path / "weights_0.safetensors"
    card = Card(dataset="synthetic", recipe="fast", seed=3, validation_accuracy=0.9123)
    save_weights(path, UNet(**NARROW), card)
    assert load_weights_and_card(path)[1] == card
    assert card.summary() == (
        "trained on synthetic scenes, validation accuracy 0.9123; not for real scenes"
    )
    save_weights(path, UNet(**NARROW))
    unknown = load_weights_and_card(path)[1]
    assert unknown.summary() == "trained on unknown scenes: the weights carry no card"


@pytest.mark.parametrize("card", ["no JSON", "[]", '{"temperature": 0}', '{"temperature": "x"}'])
def test_a_card_that_cannot_be_read_is_refused(tmp_path, card):
    path = tmp_path / "weights_0.safetensors"
    text = {"format": "cloudmask-unet-2", "unet": json.dumps(NARROW), "card": card}
    save_file(UNet(**NARROW).state_dict(), path, text)
    with pytest.raises(InputError, match=rf"^weights file {path} does not fit"):
        load_weights(path)
