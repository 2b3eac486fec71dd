"""The convolutions that are timed are those of the network."""

import pytest
from torch import nn

from benchmarks.convolutions import layers
from benchmarks.stages import FORWARD_FLOP
from cloudmask.model.unet import UNet


def test_plain_layers_are_the_network_as_it_is_drawn():
    drawn = sorted(
        (module.in_channels, module.out_channels)
        for module in UNet().modules()
        if isinstance(module, nn.Conv2d) and module.kernel_size == (3, 3)
    )
    assert sorted((layer.inputs, layer.outputs) for layer in layers(split=False)) == drawn
    total = sum(layer.flop for layer in layers(split=False))
    assert total == pytest.approx(FORWARD_FLOP, rel=0.03)


def test_split_layers_save_nearly_a_fifth_of_the_operations():
    split, plain = (sum(layer.flop for layer in layers(kind)) for kind in (True, False))
    assert 1 - split / plain == pytest.approx(0.187, abs=0.001)
