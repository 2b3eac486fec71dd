"""Augmentation: the eight symmetries of a square, for images and labels alike."""

import json

import torch

from cloudmask.training.augmentation import SYMMETRIES, flip_and_transpose


def test_symmetries_are_the_eight_of_a_square_and_move_image_and_label_alike():
    labels = torch.arange(16).reshape(1, 1, 4, 4)
    images = labels.expand(1, 9, 4, 4).float().contiguous(memory_format=torch.channels_last)
    seen = set()
    for symmetry in range(SYMMETRIES):
        image, label = flip_and_transpose(images, labels, symmetry)
        assert torch.equal(image, label.expand(1, 9, 4, 4).float())
        assert image.is_contiguous(memory_format=torch.channels_last)
        seen.add(json.dumps(label.tolist()))
    assert len(seen) == SYMMETRIES == 8


def test_bits_flip_rows_flip_columns_and_transpose():
    square = torch.tensor([[1, 2], [3, 4]])
    expected = [
        [[1, 2], [3, 4]],
        [[3, 4], [1, 2]],
        [[2, 1], [4, 3]],
        [[4, 3], [2, 1]],
        [[1, 3], [2, 4]],
    ]
    for symmetry, moved in enumerate(expected):
        _, label = flip_and_transpose(square.float()[None, None], square[None, None], symmetry)
        assert label[0, 0].tolist() == moved
