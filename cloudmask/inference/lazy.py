"""The mask of dask arrays, computed part by part when it is asked for.

Parts overlap by what the network sees and begin on its pooling grid, so the result is that of the
whole image up to rounding.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from cloudmask.errors import InputError
from cloudmask.inference.masker import Masker
from cloudmask.inference.whole_scene import predict_padded
from cloudmask.patches.geometry import POOLING_CELL, RECEPTIVE_RADIUS, whole_padding
from cloudmask.scenes.mask_variables import EDGE_PIXELS, flag_bits
from cloudmask.scenes.missing import missing_values
from cloudmask.scenes.scene import normalise
from cloudmask.scenes.slstr import CHANNELS

# Pixels of a part along each axis; memory grows with its square.
PART_PIXELS = 512
# A pixel's result depends on no pixel farther away, rounded up to the pooling grid.
OVERLAP = -(-(RECEPTIVE_RADIUS + POOLING_CELL) // POOLING_CELL) * POOLING_CELL
assert OVERLAP >= EDGE_PIXELS


def lazy_mask(masker: Masker, channels: Any) -> tuple[Any, Any]:
    """Cloud probability and flag bits (rows, columns) of channels (rows, columns, 9); all dask.

    Raises:
        InputError: the tiling is not 'whole'.
    """
    import dask.array as da

    if masker.options.tiling != "whole":
        raise InputError(
            f"tiling {masker.options.tiling} needs arrays in memory: load the data set"
        )
    height, width = channels.shape[:2]
    rows, columns = whole_padding(height), whole_padding(width)
    inside = da.ones((height, width, 1), np.float32, chunks=(*channels.chunks[:2], 1))
    image = da.pad(
        da.concatenate([channels.astype(np.float32), inside], axis=-1), (rows, columns, (0, 0))
    )
    parts = tuple(_parts(length) for length in image.shape[:2])
    found = da.map_overlap(
        lambda block: _mask_part(masker, block),
        image.rechunk((*parts, -1)),
        depth={0: OVERLAP, 1: OVERLAP, 2: 0},
        boundary={0: 0, 1: 0, 2: "none"},
        chunks=(*(tuple(part + 2 * OVERLAP for part in along) for along in parts), (2,)),
        dtype=np.float32,
        meta=np.empty((0, 0, 0), np.float32),
    )
    found = found[rows[0] : rows[0] + height, columns[0] : columns[0] + width]
    return found[..., 0], found[..., 1].astype(np.uint16)


def _parts(length: int) -> tuple[int, ...]:
    """Lengths of the parts of a padded axis: multiples of the pooling cell, about equal."""
    cells = length // POOLING_CELL
    number = max(1, round(length / PART_PIXELS))
    ends = [cells * index // number * POOLING_CELL for index in range(number + 1)]
    return tuple(np.diff(ends).tolist())


def _mask_part(masker: Masker, block: NDArray[np.float32]) -> NDArray[np.float32]:
    """Probability and flag bits (rows, columns, 2) of channels and `inside` (rows, columns, 10)."""
    inside = block[..., CHANNELS] > 0
    image = np.array(block[..., :CHANNELS])
    missing = missing_values(image)
    image[missing] = 0
    normalise(image)[~inside] = 0
    probability = predict_padded(masker.network, image, masker.precision, masker.card.temperature)
    probability[missing.all(axis=-1)] = np.nan
    bits = flag_bits(missing, {}, inside)
    return np.stack([probability, bits.astype(np.float32)], axis=-1)
