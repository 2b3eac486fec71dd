"""A plain version of every stage, without optimisations: float32, NCHW, eager."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from cloudmask.model.loss import weighted_bce
from cloudmask.model.unet import UNet
from cloudmask.patches.geometry import PATCH_SIZE, TILE_SIZE, inference_tiles, stitch
from cloudmask.scenes.slstr import (
    REFLECTANCE_OFFSET,
    TEMPERATURE_OFFSET_KELVIN,
    TEMPERATURE_SCALE_KELVIN,
)


class PlainUNet(UNet):
    """The same network with explicit upsampling and concatenation."""

    def forward(self, x: Tensor) -> Tensor:
        skipped: list[Tensor] = []
        for stage in self.down:
            x = _stage(stage, x)
            skipped.append(x)
            x = F.max_pool2d(x, 2)
        x = _stage(self.bottleneck, x)
        for stage in self.up:
            upsampled = F.interpolate(x, scale_factor=2, mode="nearest")
            x = _stage(stage, torch.cat([upsampled, skipped.pop()], dim=1))
        logits: Tensor = self.output(x)
        return logits


def _stage(stage: nn.Module, x: Tensor) -> Tensor:
    for convolution in (stage.convolution_a, stage.convolution_b):
        x = F.relu(F.conv2d(x, convolution.weight, convolution.bias, padding=1))
    return x


def read_scene(path: Path) -> tuple[NDArray[np.float32], NDArray[np.uint8]]:
    """The whole scene, (1200, 1500, 9) and (1200, 1500), normalised."""
    with h5py.File(path, "r", locking=False) as file:
        refs, bts, bayes = (np.nan_to_num(file[name]) for name in ("refs", "bts", "bayes"))
    temperatures = (bts - TEMPERATURE_OFFSET_KELVIN) / TEMPERATURE_SCALE_KELVIN
    image = np.concatenate([refs - REFLECTANCE_OFFSET, temperatures], axis=-1)
    return image.astype(np.float32), (bayes[..., 0] > 0).astype(np.uint8)


def training_patches(array: NDArray[Any], size: int = PATCH_SIZE) -> NDArray[Any]:
    """The whole patches in the middle of a scene (1200, 1500[, C]): (20, 256, 256[, C])."""
    rows, columns = (
        range(length % size // 2, length - size + 1, size) for length in array.shape[:2]
    )
    return np.stack([array[y : y + size, x : x + size] for y in rows for x in columns])


def stage_scene(path: Path) -> tuple[NDArray[np.float16], NDArray[np.uint8]]:
    """The training patches of a scene, in the type of our stores, and their labels."""
    image, label = read_scene(path)
    return training_patches(image).astype(np.float16), training_patches(label)


def training_step(images: Tensor, labels: Tensor) -> Callable[[], None]:
    """A function that takes one training step."""
    network = PlainUNet().to(images.device)
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-3)
    inputs = images.float().contiguous()

    def step() -> None:
        optimizer.zero_grad()
        weighted_bce(network(inputs), labels).backward()
        optimizer.step()

    return step


def predict_scene(
    network: nn.Module, path: Path, batch_size: int, device: torch.device
) -> NDArray[np.float32]:
    """Cloud probability (1200, 1500) by 63 overlapping tiles."""
    tiles = torch.from_numpy(inference_tiles(read_scene(path)[0])).permute(0, 3, 1, 2).contiguous()
    with torch.no_grad():
        probabilities = [
            torch.sigmoid(network(batch.to(device))).cpu() for batch in tiles.split(batch_size)
        ]
    return stitch(torch.cat(probabilities).reshape(-1, TILE_SIZE, TILE_SIZE).numpy())
