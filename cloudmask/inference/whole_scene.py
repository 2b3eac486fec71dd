"""Cloud probabilities of whole scenes, and a pipeline that reads, computes and writes at once."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Literal, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from cloudmask.model.precision import Precision
from cloudmask.patches.geometry import (
    TILE_SIZE,
    inference_tiles,
    pad_image,
    stitch,
    whole_padding,
)

Tiling = Literal["whole", "reference"]

Item = TypeVar("Item")
Read = TypeVar("Read")
Computed = TypeVar("Computed")
Result = TypeVar("Result")


def predict_scene(
    network: nn.Module,
    image: NDArray[np.float32],
    precision: Precision,
    batch_size: int,
    tiling: Tiling = "whole",
    temperature: float = 1.0,
) -> NDArray[np.float32]:
    """Cloud probability (H, W) float32 of a normalised image (H, W, 9).

    Tiling 'whole' puts the padded scene through the network in one pass, because it is fully
    convolutional. Tiling 'reference' computes the overlapping tiles of the reference pipeline,
    `batch_size` at a time, and keeps only the middle of each. The two differ where a tile lacks
    neighbours that the scene has.

    Args:
        network: preferably an `inference_copy`, in the precision's type.
        temperature: the calibration: logits are divided by it; see `model.card`.
    """
    if tiling == "reference":
        network.eval()
        with torch.inference_mode(), precision.autocast():
            return _tile_by_tile(network, image, precision.device, batch_size, temperature)
    height, width = image.shape[:2]
    rows, columns = whole_padding(height), whole_padding(width)
    padded = pad_image(image, rows, columns)
    probability = predict_padded(network, padded, precision, temperature)
    top, left = rows[0], columns[0]
    return np.ascontiguousarray(probability[top : top + height, left : left + width])


def predict_padded(
    network: nn.Module,
    image: NDArray[np.float32],
    precision: Precision,
    temperature: float = 1.0,
) -> NDArray[np.float32]:
    """Cloud probability (H, W) of a normalised image (H, W, 9); both sides are multiples of 8."""
    network.eval()
    with torch.inference_mode(), precision.autocast():
        batch = torch.from_numpy(image[np.newaxis]).permute(0, 3, 1, 2)
        found: NDArray[np.float32] = probabilities(network, batch, precision.device, temperature)[
            0
        ].numpy()
    return found


def overlapped(
    items: Iterable[Item],
    read: Callable[[Item], Read],
    compute: Callable[[Read], Computed],
    write: Callable[[Item, Computed], Result],
) -> Iterator[tuple[Item, Future[Result]]]:
    """Read the next item and write the previous one while the current one is computed.

    Each step handles one item at a time, in their order; `compute` runs in the caller's thread.
    An exception in a step is raised by the item's future and does not stop other items.
    """
    with ThreadPoolExecutor(1) as reader, ThreadPoolExecutor(1) as writer:
        unread = deque(items)
        reading: deque[Future[Read]] = deque()
        writing: deque[tuple[Item, Future[Result]]] = deque()
        for item in list(unread):
            while unread and len(reading) < 2:
                reading.append(reader.submit(read, unread.popleft()))
            result: Future[Result] = Future()
            try:
                result = writer.submit(write, item, compute(reading.popleft().result()))
            except Exception as error:
                result.set_exception(error)
            writing.append((item, result))
            if len(writing) > 1:
                yield _wait(writing.popleft())
        for last in writing:
            yield _wait(last)


def _wait(written: tuple[Item, Future[Result]]) -> tuple[Item, Future[Result]]:
    written[1].exception()
    return written


def _tile_by_tile(
    network: nn.Module,
    image: NDArray[np.float32],
    device: torch.device,
    batch_size: int,
    temperature: float,
) -> NDArray[np.float32]:
    tiles = torch.from_numpy(inference_tiles(image)).permute(0, 3, 1, 2)
    predicted = torch.empty(len(tiles), TILE_SIZE, TILE_SIZE)
    for batch, out in zip(tiles.split(batch_size), predicted.split(batch_size), strict=True):
        out.copy_(probabilities(network, batch, device, temperature))
    return stitch(predicted.numpy(), image.shape[:2])


def probabilities(
    network: nn.Module, images: Tensor, device: torch.device, temperature: float = 1.0
) -> Tensor:
    """Cloud probabilities (N, H, W) float32, on the host, of normalised images (N, 9, H, W)."""
    logits = network(images.to(device))
    return torch.sigmoid(logits.float() / temperature).squeeze(1).cpu()
