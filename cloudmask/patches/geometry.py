"""The geometry of the benchmark: scenes into training patches, scenes into tiles and back.

Every number here is the reference pipeline's; the functions work on any number of channels.
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

# Whole-scene inference: tiles overlap, and only the middle of each prediction is kept, because
# near a tile's edge the network sees padding instead of neighbours.
TILE_SIZE = 256
TILE_STRIDE = 176
TILE_MARGIN = (TILE_SIZE - TILE_STRIDE) // 2
TILE_ROWS, TILE_COLUMNS = 7, 9
PAD_ROWS = ((TILE_ROWS - 1) * TILE_STRIDE + TILE_SIZE - ROWS) // 2
PAD_COLUMNS = ((TILE_COLUMNS - 1) * TILE_STRIDE + TILE_SIZE - COLUMNS) // 2

# In one pass, the network need not be shown more zeros around the scene than it can see, which is
# so many pixels beyond the cell of its 8 x 8 pooling grid in which a pixel lies. The margins are
# the reference's less whole cells, so that the grid lies as it does there.
SIGHT = 46
CELL = 8
WHOLE_PAD_ROWS, WHOLE_PAD_COLUMNS = (
    pad - (pad - pad % CELL - SIGHT) // CELL * CELL for pad in (PAD_ROWS, PAD_COLUMNS)
)


def split_scenes(count: int) -> tuple[list[int], list[int]]:
    """Indices of the training and of the validation scenes among `count` sorted scenes.

    The same as scikit-learn's `train_test_split(train_size=0.8, random_state=42)`, in its order.
    """
    training = math.floor(TRAIN_SHARE * count)
    order = np.random.RandomState(SPLIT_SEED).permutation(count).tolist()
    validation = count - training
    return order[validation:], order[:validation]


def patches_per_scene(patch_size: int = PATCH_SIZE) -> int:
    """How many non-overlapping patches a scene gives: 20 of 256 x 256."""
    return (ROWS // patch_size) * (COLUMNS // patch_size)


def training_region(patch_size: int = PATCH_SIZE) -> Region:
    """The central rectangle that whole patches cover: 1024 x 1280 at (88, 110) for 256."""
    height, width = ROWS // patch_size * patch_size, COLUMNS // patch_size * patch_size
    top, left = (ROWS - height) // 2, (COLUMNS - width) // 2
    return slice(top, top + height), slice(left, left + width)


def training_patches(array: NDArray[Any], patch_size: int = PATCH_SIZE) -> NDArray[Any]:
    """Cut (1200, 1500[, C]) into (20, 256, 256[, C]) patches, row-major, without overlap.

    Raises:
        ValueError: the array is not on the scene's grid.
    """
    _require_grid(array)
    return cut_region(array[training_region(patch_size)], patch_size)


def cut_region(region: NDArray[Any], patch_size: int = PATCH_SIZE) -> NDArray[Any]:
    """`training_patches` of an array that holds the `training_region` only."""
    down, across = region.shape[0] // patch_size, region.shape[1] // patch_size
    rest = region.shape[2:]
    grid = region.reshape(down, patch_size, across, patch_size, *rest)
    patches: NDArray[Any] = grid.swapaxes(1, 2).reshape(-1, patch_size, patch_size, *rest)
    return patches


def padded(
    image: NDArray[Any], rows: int = WHOLE_PAD_ROWS, columns: int = WHOLE_PAD_COLUMNS
) -> NDArray[Any]:
    """A normalised image (1200, 1500, C) with zeros around it: (1296, 1600, C).

    Args:
        rows, columns: added above and below, left and right.

    Raises:
        ValueError: the image is not on the scene's grid.
    """
    _require_grid(image)
    return np.pad(image, ((rows, rows), (columns, columns), (0, 0)))


def inference_tiles(image: NDArray[Any]) -> NDArray[Any]:
    """Cut a normalised image (1200, 1500, C) into its 63 overlapping tiles (63, 256, 256, C).

    The image is `padded` by 56 rows and 82 columns; tiles go row by row, 7 x 9 at stride 176.

    Raises:
        ValueError: the image is not on the scene's grid.
    """
    windows = sliding_window_view(
        padded(image, PAD_ROWS, PAD_COLUMNS), (TILE_SIZE, TILE_SIZE), axis=(0, 1)
    )
    tiles = windows[::TILE_STRIDE, ::TILE_STRIDE].transpose(0, 1, 3, 4, 2)
    return np.ascontiguousarray(tiles.reshape(-1, TILE_SIZE, TILE_SIZE, image.shape[-1]))


def stitch(tiles: NDArray[Any]) -> NDArray[Any]:
    """Lay predictions for the 63 tiles, (63, 256, 256) or (63, 256, 256, 1), out as (1200, 1500).

    40 pixels are dropped from each side of a tile; the 1232 x 1584 mosaic is cropped centrally.

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


def _require_grid(array: NDArray[Any]) -> None:
    if array.shape[:2] != (ROWS, COLUMNS):
        raise ValueError(f"array has shape {array.shape}, expected ({ROWS}, {COLUMNS}, ...)")
