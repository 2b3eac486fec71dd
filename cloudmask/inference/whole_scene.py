"""Whole-scene masks: an image in, cloud probabilities out, several scenes in flight at a time."""

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
    WHOLE_PAD_COLUMNS,
    WHOLE_PAD_ROWS,
    inference_tiles,
    pad_image,
    stitch,
)
from cloudmask.scenes.slstr import COLUMNS, ROWS

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
) -> NDArray[np.float32]:
    """Cloud probability (1200, 1500) float32 of a normalised image (1200, 1500, 9).

    With tiling 'whole' the padded scene goes through the network at once: it is fully
    convolutional, so nothing need be computed twice. With 'reference' its 63 overlapping tiles
    do, `batch_size` at a time, and only the middle of each is kept. The two differ where a tile
    lacks neighbours that the scene has. Cloud is where the probability is above
    `cloudmask.scenes.mask_files.CLOUD_PROBABILITY`.

    Args:
        network: best an `inference_copy`, in the precision's type.

    Raises:
        ValueError: the image is not on the scene's grid.
    """
    network.eval()
    with torch.inference_mode(), precision.autocast():
        if tiling == "reference":
            return _tile_by_tile(network, image, precision.device, batch_size)
        scene = torch.from_numpy(pad_image(image)[np.newaxis]).permute(0, 3, 1, 2)
        probability = _probabilities(network, scene, precision.device)[0]
    rows = slice(WHOLE_PAD_ROWS, WHOLE_PAD_ROWS + ROWS)
    columns = slice(WHOLE_PAD_COLUMNS, WHOLE_PAD_COLUMNS + COLUMNS)
    return np.ascontiguousarray(probability.numpy()[rows, columns])


def overlapped(
    items: Iterable[Item],
    read: Callable[[Item], Read],
    compute: Callable[[Read], Computed],
    write: Callable[[Item, Computed], Result],
) -> Iterator[tuple[Item, Future[Result]]]:
    """Read the next item and write the last one while this one is computed.

    Each of the three steps takes items in their order, one at a time, `compute` in the caller's
    thread. What any of them raises is raised by the item's future and stops no other item.
    """
    with ThreadPoolExecutor(1) as reader, ThreadPoolExecutor(1) as writer:
        waiting = deque(items)
        ahead: deque[Future[Read]] = deque()
        flying: deque[tuple[Item, Future[Result]]] = deque()
        for item in list(waiting):
            while waiting and len(ahead) < 2:
                ahead.append(reader.submit(read, waiting.popleft()))
            result: Future[Result] = Future()
            try:
                result = writer.submit(write, item, compute(ahead.popleft().result()))
            except Exception as error:
                result.set_exception(error)
            flying.append((item, result))
            if len(flying) > 1:
                yield _finished(flying.popleft())
        for last in flying:
            yield _finished(last)


def _finished(flight: tuple[Item, Future[Result]]) -> tuple[Item, Future[Result]]:
    flight[1].exception()  # waits
    return flight


def _tile_by_tile(
    network: nn.Module, image: NDArray[np.float32], device: torch.device, batch_size: int
) -> NDArray[np.float32]:
    tiles = torch.from_numpy(inference_tiles(image)).permute(0, 3, 1, 2)
    probabilities = torch.empty(len(tiles), TILE_SIZE, TILE_SIZE)
    for group, answers in zip(
        tiles.split(batch_size), probabilities.split(batch_size), strict=True
    ):
        answers.copy_(_probabilities(network, group, device))
    return stitch(probabilities.numpy())


def _probabilities(network: nn.Module, images: Tensor, device: torch.device) -> Tensor:
    """(N, H, W) float32 on the host."""
    logits = network(images.to(device))
    return torch.sigmoid(logits.float()).squeeze(1).cpu()
