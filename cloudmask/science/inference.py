"""Whole-scene masks: tiles in, probabilities out, stitched as the reference does."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from cloudmask.data.patches import TILE_SIZE, inference_tiles, stitch
from cloudmask.training.precision import Precision

CLOUD_PROBABILITY = 0.5


def predict_scene(
    network: nn.Module, image: NDArray[np.float32], precision: Precision, batch_size: int
) -> NDArray[np.float32]:
    """Cloud probability (1200, 1500) float32 of a normalised image (1200, 1500, 9).

    The image's 63 overlapping tiles are predicted `batch_size` at a time on the precision's
    device. Cloud is where the probability is above `CLOUD_PROBABILITY`.

    Raises:
        ValueError: the image is not on the scene's grid.
    """
    network.eval()
    tiles = torch.from_numpy(inference_tiles(image)).permute(0, 3, 1, 2)
    probabilities = torch.empty(len(tiles), TILE_SIZE, TILE_SIZE)
    with torch.inference_mode(), precision.autocast():
        for group, answers in zip(
            tiles.split(batch_size), probabilities.split(batch_size), strict=True
        ):
            logits = network(group.to(precision.device))
            answers.copy_(torch.sigmoid(logits.float()).squeeze(1))
    stitched: NDArray[np.float32] = stitch(probabilities.numpy())
    return stitched
