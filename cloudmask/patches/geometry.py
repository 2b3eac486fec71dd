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
TILE_ROWS, TILE_COLUMNS = 7, 9
PAD_ROWS = ((TILE_ROWS - 1) * TILE_STRIDE + TILE_SIZE - ROWS) // 2
PAD_COLUMNS = ((TILE_COLUMNS - 1) * TILE_STRIDE + TILE_SIZE - COLUMNS) // 2

# Whole-scene inference in one pass: the receptive field of a pixel extends this many pixels beyond
# its cell of the 8 x 8 pooling grid, so no more padding is needed. It is the reference's padding
# less whole cells, which keeps the pooling grid where it is in the reference.
RECEPTIVE_RADIUS = 46
POOLING_CELL = 8
WHOLE_PAD_ROWS, WHOLE_PAD_COLUMNS = (
    pad - (pad - pad % POOLING_CELL - RECEPTIVE_RADIUS) // POOLING_CELL * POOLING_CELL
    for pad in (PAD_ROWS, PAD_COLUMNS)
)


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


def pad_image(
    image: NDArray[Any], rows: int = WHOLE_PAD_ROWS, columns: int = WHOLE_PAD_COLUMNS
) -> NDArray[Any]:
    """Pad a normalised image (1200, 1500, C) with zeros, by default to (1296, 1600, C).

    Args:
        rows, columns: padding above and below, and left and right.

    Raises:
        ValueError: the image is not on the scene's grid.
    """
    if image.shape[:2] != (ROWS, COLUMNS):
        raise ValueError(f"array has shape {image.shape}, expected ({ROWS}, {COLUMNS}, ...)")
    return np.pad(image, ((rows, rows), (columns, columns), (0, 0)))


def inference_tiles(image: NDArray[Any]) -> NDArray[Any]:
    """Cut a normalised image (1200, 1500, C) into 63 overlapping tiles (63, 256, 256, C).

    The image is padded by 56 rows and 82 columns; tiles are in row-major order, 7 x 9 with stride
    176.

    Raises:
        ValueError: the image is not on the scene's grid.
    """
    windows = sliding_window_view(
        pad_image(image, PAD_ROWS, PAD_COLUMNS), (TILE_SIZE, TILE_SIZE), axis=(0, 1)
    )
    tiles = windows[::TILE_STRIDE, ::TILE_STRIDE].transpose(0, 1, 3, 4, 2)
    return np.ascontiguousarray(tiles.reshape(-1, TILE_SIZE, TILE_SIZE, image.shape[-1]))


def stitch(tiles: NDArray[Any]) -> NDArray[Any]:
    """Stitch predictions of the 63 tiles, (63, 256, 256) or (63, 256, 256, 1), to (1200, 1500).

    40 pixels of each side of a tile are dropped; the 1232 x 1584 mosaic is cropped centrally.

    Raises:
        ValueError: not 63 tiles of 256 x 256 with one value a pixel.
    """
    count = TILE_ROWS * TILE_COLUMNS
    if tiles.size != count * TILE_SIZE**2 or tiles.shape[:3] != (count, TILE_SIZE, TILE_SIZE):
        expected = (count, TILE_SIZE, TILE_SIZE)
        raise ValueError(f"tiles have shape {tiles.shape}, expected {expected}")
    kept = slice(TILE_MARGIN, TILE_SIZE - TILE_MARGIN)
    grid = tiles.reshape(TILE_ROWS, TILE_COLUMNS, TILE_SIZE, TILE_SIZE)[:, :, kept, kept]
    mosaic = grid.swapaxes(1, 2).reshape(TILE_ROWS * TILE_STRIDE, TILE_COLUMNS * TILE_STRIDE)
    top, left = PAD_ROWS - TILE_MARGIN, PAD_COLUMNS - TILE_MARGIN
    return np.ascontiguousarray(mosaic[top : top + ROWS, left : left + COLUMNS])
