"""The benchmark's geometry: split of the scenes, training patches, overlapping inference tiles.

All numbers are those of the reference pipeline.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from cloudmask.scenes.slstr import COLUMNS, ROWS, Region

PATCH_SIZE = 256
TRAIN_SHARE = 0.8
SPLIT_SEED = 42

# Whole-scene inference in tiles: they overlap, and only the middle of each prediction is kept,
# because near a tile's edge the network sees padding instead of the neighbouring pixels.
TILE_SIZE = 256
TILE_STRIDE = 176
TILE_MARGIN = (TILE_SIZE - TILE_STRIDE) // 2

# Whole-scene inference in one pass: the receptive field of a pixel extends this many pixels beyond
# its cell of the 8 x 8 pooling grid, so no more padding is needed.
RECEPTIVE_RADIUS = 46
POOLING_CELL = 8

# Pixels to add before and after.
Padding = tuple[int, int]


def split_scenes(count: int) -> tuple[list[int], list[int]]:
    """Indices of the training and of the validation scenes among `count` sorted scenes.

    Equal to scikit-learn's `train_test_split(range(count), train_size=0.8, random_state=42)`.
    """
    training = math.floor(TRAIN_SHARE * count)
    order = np.random.RandomState(SPLIT_SEED).permutation(count).tolist()
    validation = count - training
    return order[validation:], order[:validation]


def patches_per_scene(patch_size: int = PATCH_SIZE) -> int:
    """Number of non-overlapping patches in a scene: 20 of 256 x 256."""
    return (ROWS // patch_size) * (COLUMNS // patch_size)


def scenes_to_fill(global_batch: int, patch_size: int = PATCH_SIZE) -> int:
    """The least number of scenes of which the validation scenes, too, fill a global batch."""
    needed = math.ceil(global_batch / patches_per_scene(patch_size))
    scenes = needed
    while len(split_scenes(scenes)[1]) < needed or len(split_scenes(scenes)[0]) < needed:
        scenes += 1
    return scenes


def training_region(patch_size: int = PATCH_SIZE) -> Region:
    """The central rectangle covered by whole patches: 1024 x 1280 at (88, 110) for 256."""
    height, width = ROWS // patch_size * patch_size, COLUMNS // patch_size * patch_size
    top, left = (ROWS - height) // 2, (COLUMNS - width) // 2
    return slice(top, top + height), slice(left, left + width)


def tiles_along(length: int) -> int:
    """Number of overlapping tiles that cover so many rows or columns: 7 for 1200, 9 for 1500."""
    return math.ceil(length / TILE_STRIDE)


def tile_padding(length: int) -> Padding:
    """Padding of rows or columns for inference in tiles: 56 for 1200 rows, 82 for 1500 columns."""
    total = (tiles_along(length) - 1) * TILE_STRIDE + TILE_SIZE - length
    return total // 2, total - total // 2


def whole_padding(length: int) -> Padding:
    """Padding of rows or columns for inference in one pass: 48 for 1200 rows, 50 for 1500 columns.

    That before the image is `tile_padding` less whole cells, which keeps the pooling grid where it
    is in the reference.
    """
    tile = tile_padding(length)[0]
    spare = tile - tile % POOLING_CELL - RECEPTIVE_RADIUS
    before = tile - spare // POOLING_CELL * POOLING_CELL
    return before, RECEPTIVE_RADIUS + -(before + length + RECEPTIVE_RADIUS) % POOLING_CELL


def pad_image(image: NDArray[Any], rows: Padding, columns: Padding) -> NDArray[Any]:
    """Pad a normalised image (H, W, C) with zeros."""
    return np.pad(image, (rows, columns, (0, 0)))


def inference_tiles(image: NDArray[Any]) -> NDArray[Any]:
    """Cut a normalised image (H, W, C) into overlapping tiles (n, 256, 256, C).

    The image is padded by `tile_padding`; tiles are in row-major order with stride 176. An image of
    1200 x 1500 pixels has 7 x 9 of them.
    """
    padded = pad_image(image, *map(tile_padding, image.shape[:2]))
    windows = sliding_window_view(padded, (TILE_SIZE, TILE_SIZE), axis=(0, 1))
    tiles = windows[::TILE_STRIDE, ::TILE_STRIDE].transpose(0, 1, 3, 4, 2)
    return np.ascontiguousarray(tiles.reshape(-1, TILE_SIZE, TILE_SIZE, image.shape[-1]))


def stitch(tiles: NDArray[Any], shape: tuple[int, int] = (ROWS, COLUMNS)) -> NDArray[Any]:
    """Stitch predictions of the tiles of an image, (n, 256, 256) or (n, 256, 256, 1), to `shape`.

    40 pixels of each side of a tile are dropped; the mosaic of the middles is cropped.

    Raises:
        ValueError: not as many tiles of 256 x 256 as the image has, with one value a pixel.
    """
    down, across = map(tiles_along, shape)
    expected = (down * across, TILE_SIZE, TILE_SIZE)
    if tiles.size != math.prod(expected) or tiles.shape[:3] != expected:
        raise ValueError(f"tiles have shape {tiles.shape}, expected {expected}")
    kept = slice(TILE_MARGIN, TILE_SIZE - TILE_MARGIN)
    grid = tiles.reshape(down, across, TILE_SIZE, TILE_SIZE)[:, :, kept, kept]
    mosaic = grid.swapaxes(1, 2).reshape(down * TILE_STRIDE, across * TILE_STRIDE)
    top, left = (tile_padding(length)[0] - TILE_MARGIN for length in shape)
    return np.ascontiguousarray(mosaic[top : top + shape[0], left : left + shape[1]])
