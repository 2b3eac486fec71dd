"""Augmentation: batches in the eight symmetries of a square, and values that were not measured.

Real scenes have borders that nobody saw, lost scan lines, and channels that saturate. The network
learns what to make of them from patches in which such values are taken out.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.random import Generator
from numpy.typing import NDArray
from torch import Tensor

from cloudmask.scenes.slstr import (
    CHANNELS,
    REFLECTANCE_OFFSET,
    REFLECTANCES,
    TEMPERATURE_OFFSET_KELVIN,
    TEMPERATURE_SCALE_KELVIN,
)

SYMMETRIES = 8

# What 0, the value of missing channels, is after normalisation.
MISSING_REFLECTANCE = -REFLECTANCE_OFFSET
MISSING_TEMPERATURE = -TEMPERATURE_OFFSET_KELVIN / TEMPERATURE_SCALE_KELVIN

# Shapes of holes, equally frequent; the largest sides of a rectangle, widths of a frame's sides and
# heights of scan lines, in shares of the patch. Borders of real scenes are 14 to 27 pixels wide.
SHAPES = ("rectangle", "frame", "lines", "patch")
LARGEST_RECTANGLE, LARGEST_FRAME, LARGEST_LINES = 0.5, 0.25, 0.02
# Channels that a hole takes out, as first and last + 1: all, reflectances, temperatures, S7.
ALL = (0, CHANNELS)
GROUPS = ((0, REFLECTANCES), (REFLECTANCES, CHANNELS), (REFLECTANCES, REFLECTANCES + 1))


def symmetries_of_square(size: int, device: torch.device) -> Tensor:
    """The eight symmetries of a patch of `size` x `size` pixels, (8, size * size) int32.

    Row s says which pixel comes to each place, both counted row by row. Bit 0 of s flips rows, bit
    1 flips columns, bit 2 then transposes.
    """
    square = torch.arange(size * size, dtype=torch.int32, device=device).view(size, size)
    symmetries = []
    for symmetry in range(SYMMETRIES):
        flipped = square.flip([axis for axis in (0, 1) if symmetry >> axis & 1])
        symmetries.append((flipped.T if symmetry & 4 else flipped).flatten())
    return torch.stack(symmetries)


def flip_and_transpose(images: Tensor, labels: Tensor, pixels: Tensor) -> tuple[Tensor, Tensor]:
    """Flip and transpose each patch of a batch; clouds have no preferred orientation in a patch.

    Args:
        images: (N, C, P, P), in channels-last layout.
        labels: (N, 1, P, P).
        pixels: (N, P * P): for each patch its row of `symmetries_of_square`.

    Returns:
        Images in channels-last layout, and labels.
    """
    first = torch.arange(len(pixels), dtype=pixels.dtype, device=pixels.device) * pixels.shape[1]
    source = (first.unsqueeze(1) + pixels).flatten()
    vectors = images.permute(0, 2, 3, 1)
    moved = vectors.flatten(0, 2).index_select(0, source).view(vectors.shape)
    return moved.permute(0, 3, 1, 2), labels.flatten().index_select(0, source).view(labels.shape)


def draw_holes(rng: Generator, patches: int, size: int, share: float) -> NDArray[np.int64]:
    """Draw the holes of an epoch's patches, (patches, 7); a patch has one with probability `share`.

    A hole is a box: first and last + 1 of its rows, columns and channels, and 1 where it is all
    but these rows and columns. A box without channels is no hole.
    """
    holes = np.zeros((patches, 7), np.int64)
    for patch in np.flatnonzero(rng.random(patches) < share):
        holes[patch] = _draw_hole(rng, size)
    return holes


def _draw_hole(rng: Generator, size: int) -> tuple[int, ...]:
    shape = SHAPES[rng.integers(len(SHAPES))]
    if shape == "patch":
        return (0, size, 0, size, *_draw_channels(rng), 0)
    if shape == "frame":
        sides = rng.integers(0, int(LARGEST_FRAME * size) + 1, 4) * rng.integers(0, 2, 4)
        return (sides[0], size - sides[1], sides[2], size - sides[3], *ALL, 1)
    if shape == "lines":
        height, width = 1 + rng.integers(0, max(1, int(LARGEST_LINES * size))), size
        channels = ALL
    else:
        height, width = 1 + rng.integers(0, int(LARGEST_RECTANGLE * size), 2)
        channels = ALL if rng.random() < 0.5 else _draw_channels(rng)
    top, left = (int(rng.integers(0, size - length + 1)) for length in (height, width))
    return (top, top + height, left, left + width, *channels, 0)


def _draw_channels(rng: Generator) -> tuple[int, int]:
    """A group of channels, or one of them."""
    if rng.random() < 0.5:
        return GROUPS[rng.integers(len(GROUPS))]
    channel = int(rng.integers(CHANNELS))
    return channel, channel + 1


def punch_holes(images: Tensor, holes: Tensor) -> Tensor:
    """Make values of a batch missing, as the readers of scenes do; labels stay as they are.

    Shapes are fixed, and the host does not wait for the device.

    Args:
        images: (N, 9, P, P), normalised, in channels-last layout.
        holes: (N, 7) of `draw_holes`, on the device of the images.
    """
    position = torch.arange(images.shape[-1], device=images.device)
    channel = torch.arange(CHANNELS, device=images.device)
    top, bottom, left, right, first, last, inverted = holes.unsqueeze(2).unbind(1)
    rows = (position >= top) & (position < bottom)
    columns = (position >= left) & (position < right)
    channels = (channel >= first) & (channel < last)
    # Channels are last in memory: a row of pixels with all its channels is one long vector.
    across = (columns.unsqueeze(2) & channels.unsqueeze(1)).flatten(1)
    hole = (rows.unsqueeze(2) & across.unsqueeze(1)) != inverted.unsqueeze(2).bool()
    missing = torch.where(channel < REFLECTANCES, MISSING_REFLECTANCE, MISSING_TEMPERATURE)
    values = images.permute(0, 2, 3, 1).flatten(2)
    punched = torch.where(hole, missing.to(images.dtype).repeat(len(position)), values)
    return punched.reshape(*images.shape[:1], *images.shape[2:], CHANNELS).permute(0, 3, 1, 2)
