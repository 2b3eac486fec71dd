"""Whole-scene probabilities against the reference's, pixel by pixel, and the pipeline of scenes."""

import threading

import numpy as np
import pytest
import torch

from cloudmask.inference.whole_scene import overlapped, predict_scene
from cloudmask.model.precision import Precision
from cloudmask.model.unet import UNet
from cloudmask.patches.geometry import (
    POOLING_CELL,
    RECEPTIVE_RADIUS,
    tile_padding,
    whole_padding,
)
from tests.model.reference_weights import fill_with_reference_weights
from tests.paths import REFERENCE
from tests.scene_files import read_image_and_label, write_scene

FLOAT32 = Precision(torch.float32, torch.device("cpu"))


@pytest.mark.slow
def test_whole_scene_probability_agrees_with_reference(reference_scene, tmp_path):
    network = fill_with_reference_weights(UNet(), np.random.RandomState(1234))
    image, _ = read_image_and_label(write_scene(tmp_path / "S3A.hdf", **reference_scene))
    probability = predict_scene(network, image, FLOAT32, batch_size=8, tiling="reference")
    vectors = np.load(REFERENCE / "scene.npz")
    sample = vectors["stitched_probability_sample"].reshape(60, 75)
    np.testing.assert_allclose(probability[::20, ::20], sample, atol=1e-4, rtol=0)
    fraction = float((probability > 0.5).mean())
    assert fraction == pytest.approx(float(vectors["stitched_cloud_fraction"]), abs=1e-4)


@pytest.mark.slow
def test_one_pass_calls_as_the_tiles_do_on_nearly_every_pixel(reference_scene, tmp_path):
    network = fill_with_reference_weights(UNet(), np.random.RandomState(1234))
    image, _ = read_image_and_label(write_scene(tmp_path / "S3A.hdf", **reference_scene))
    whole, tiled = (
        predict_scene(network, image, FLOAT32, 8, tiling) for tiling in ("whole", "reference")
    )
    assert whole.shape == tiled.shape == (1200, 1500)
    assert ((whole > 0.5) == (tiled > 0.5)).mean() >= 0.999


class ColdIsCloud(torch.nn.Module):
    """Logits of the last channel (S9) alone: cloud where it is below its centre."""

    def forward(self, x):
        return -x[:, 8:]


@pytest.mark.parametrize(
    ("tiling", "batch_size", "shape"),
    [
        *[("whole", 8, shape) for shape in ((1200, 1500), (1198, 1500), (1, 3))],
        *[("reference", 8, shape) for shape in ((1200, 1500), (1198, 1500), (300, 40))],
        ("reference", 63, (1200, 1500)),
    ],
)
def test_every_pixel_of_the_probability_is_that_of_its_pixel_of_the_image(
    tiling, batch_size, shape
):
    image = np.zeros((*shape, 9), np.float32)
    image[..., 8] = np.random.default_rng(0).normal(size=shape)
    network = ColdIsCloud()
    probability = predict_scene(network, image, FLOAT32, batch_size, tiling)
    assert (probability.shape, probability.dtype) == (shape, np.float32)
    assert probability.flags.c_contiguous
    np.testing.assert_allclose(probability, 1 / (1 + np.exp(image[..., 8])), atol=1e-6)
    assert not network.training


def test_network_sees_as_far_as_the_margins_of_a_whole_scene_allow_for():
    torch.manual_seed(0)
    network = UNet(widths=(2, 2, 2, 2)).double()  # the width does not change how far it sees
    for parameter in network.parameters():
        parameter.data.abs_()  # so that nothing cancels, and no ReLU is shut
    cell = 64
    seen = []
    for phase in range(POOLING_CELL):
        image = torch.rand(1, 9, 128, 128, dtype=torch.float64, requires_grad=True)
        network(image)[0, 0, cell + phase, cell + phase].backward()
        seen.append(image.grad[0].sum(0).nonzero())
    assert torch.cat(seen).amin() == cell - RECEPTIVE_RADIUS
    assert torch.cat(seen).amax() == cell + POOLING_CELL - 1 + RECEPTIVE_RADIUS


@pytest.mark.parametrize("length", [1, 8, 175, 176, 177, 1198, 1199, 1200, 1201, 1500, 4000])
def test_whole_scene_is_padded_as_much_as_the_network_sees_and_on_the_reference_grid(length):
    before, after = whole_padding(length)
    assert before % POOLING_CELL == tile_padding(length)[0] % POOLING_CELL
    assert (before + length + after) % POOLING_CELL == 0
    assert before // POOLING_CELL * POOLING_CELL >= RECEPTIVE_RADIUS
    last_cell = (before + length - 1) // POOLING_CELL * POOLING_CELL
    assert last_cell + POOLING_CELL - 1 + RECEPTIVE_RADIUS < before + length + after


def test_padding_of_the_data_set_s_scenes_is_the_reference_s():
    assert (tile_padding(1200), tile_padding(1500)) == ((56, 56), (82, 82))
    assert (whole_padding(1200), whole_padding(1500)) == ((48, 48), (50, 50))


def test_items_are_read_computed_and_written_in_order_and_one_failure_stops_no_other():
    def read(item):
        if item == 3:
            raise OSError("unreadable")
        return 10 * item

    def compute(value):
        if value == 50:
            raise ValueError("no answer")
        return value + 1

    done = list(overlapped([1, 2, 3, 4, 5, 6], read, compute, lambda item, value: (item, value)))
    assert [item for item, _ in done] == [1, 2, 3, 4, 5, 6]
    good = [result.result() for item, result in done if item not in (3, 5)]
    assert good == [(1, 11), (2, 21), (4, 41), (6, 61)]
    with pytest.raises(OSError, match="unreadable"):
        done[2][1].result()
    with pytest.raises(ValueError, match="no answer"):
        done[4][1].result()


def test_reading_the_next_item_does_not_wait_for_the_present_one():
    second_is_read = threading.Event()

    def read(item):
        if item == 2:
            second_is_read.set()
        return item

    def compute(item):
        assert second_is_read.wait(timeout=60)
        return item

    done = list(overlapped([1, 2], read, compute, lambda item, value: value))
    assert [result.result() for _, result in done] == [1, 2]
