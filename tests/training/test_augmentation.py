"""Augmentation: the eight symmetries of a square, for images and labels alike; and holes."""

import json

import numpy as np
import pytest
import torch

from cloudmask.scenes.scene import normalise
from cloudmask.training.augmentation import (
    SYMMETRIES,
    draw_holes,
    flip_and_transpose,
    punch_holes,
    symmetries_of_square,
)

CPU = torch.device("cpu")


def test_symmetries_are_the_eight_of_a_square_and_move_image_and_label_alike():
    labels = torch.arange(SYMMETRIES * 16).reshape(SYMMETRIES, 1, 4, 4)
    images = labels.expand(-1, 9, 4, 4).float().contiguous(memory_format=torch.channels_last)
    moved, label = flip_and_transpose(images, labels, symmetries_of_square(4, CPU))
    assert torch.equal(moved, label.expand(-1, 9, 4, 4).float())
    assert moved.is_contiguous(memory_format=torch.channels_last)
    first = label - 16 * torch.arange(SYMMETRIES).view(-1, 1, 1, 1)
    assert all(sorted(each.flatten().tolist()) == list(range(16)) for each in first)
    assert len({json.dumps(each.tolist()) for each in first}) == SYMMETRIES == 8


def test_bits_flip_rows_flip_columns_and_transpose():
    square = torch.tensor([[1, 2], [3, 4]])[None, None].expand(8, 1, 2, 2)
    expected = [
        [[1, 2], [3, 4]],
        [[3, 4], [1, 2]],
        [[2, 1], [4, 3]],
        [[4, 3], [2, 1]],
        [[1, 3], [2, 4]],
        [[3, 1], [4, 2]],
        [[2, 4], [1, 3]],
        [[4, 2], [3, 1]],
    ]
    _, labels = flip_and_transpose(square.float(), square, symmetries_of_square(2, CPU))
    assert labels.squeeze(1).tolist() == expected


SIZE = 16
RECTANGLE = (2, 5, 3, 9, 0, 9, 0)
S7_ALONE = (0, 16, 0, 16, 6, 7, 0)
FRAME = (1, 14, 0, 16, 0, 9, 1)
NONE = (0, 0, 0, 0, 0, 0, 0)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_holes_are_what_the_reader_makes_of_missing_values(dtype):
    torch.manual_seed(0)
    channels = np.full((4, SIZE, SIZE, 9), 0.7, np.float32)
    channels[..., 6:] = 280
    images = torch.from_numpy(normalise(channels.copy())).to(dtype).permute(0, 3, 1, 2)
    channels[0, 2:5, 3:9] = channels[2, [0, 14, 15]] = 0
    channels[1, ..., 6] = 0
    expected = torch.from_numpy(normalise(channels)).to(dtype).permute(0, 3, 1, 2)
    before = images.clone()
    punched = punch_holes(images, torch.tensor([RECTANGLE, S7_ALONE, FRAME, NONE]))
    torch.testing.assert_close(punched, expected, rtol=1e-6, atol=0)
    assert punched.dtype == dtype
    assert punched.is_contiguous(memory_format=torch.channels_last)
    assert torch.equal(images, before)


@pytest.mark.parametrize("size", [8, 64, 256])
def test_holes_of_every_shape_and_channel_are_drawn_within_the_patch(size):
    holes = draw_holes(np.random.default_rng(0), 2000, size, 1.0)
    top, bottom, left, right, first, last, inverted = holes.T
    for start, stop in ((top, bottom), (left, right)):
        assert (start >= 0).all()
        assert (stop <= size).all()
        assert (start < stop).all()
    assert ((first >= 0) & (first < last) & (last <= 9)).all()
    frames = inverted == 1
    assert ((first == 0) & (last == 9))[frames].all()
    assert (bottom - top >= size / 2)[frames].all()
    whole = ~frames & (bottom - top == size) & (right - left == size)
    single = last - first == 1
    assert set(first[whole & single]) == set(range(9))
    assert (whole & (first == 6) & (last == 7)).any()
    assert not (whole & (last - first == 9)).any()  # of no patch is everything taken
    for kind in (frames, whole, ~frames & (bottom - top < size / 2)):
        assert 0.2 < kind.mean() < 0.6


def test_a_share_of_the_patches_has_a_hole_and_seeds_decide_which():
    holes = draw_holes(np.random.default_rng(1), 4000, 256, 0.25)
    assert 0.22 < holes.any(axis=1).mean() < 0.28
    np.testing.assert_array_equal(draw_holes(np.random.default_rng(1), 4000, 256, 0.25), holes)
    assert not draw_holes(np.random.default_rng(1), 4000, 256, 0.0).any()
