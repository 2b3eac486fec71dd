"""Time of a training step's convolutions alone, for our version and for the plain version.

    python -m benchmarks.convolutions [--batch-size 2]

Each is run forward and backward on random numbers, in the layout and the arithmetic of its
version. The ratio of the totals is about what a step could gain if all else cost nothing.
"""

from __future__ import annotations

import argparse
import time
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from cloudmask.config import configure
from cloudmask.distributed.host_allocator import keep_freed_memory
from cloudmask.distributed.process_group import destroy_process_group, initialise_process_group
from cloudmask.model.precision import choose_precision
from cloudmask.patches.geometry import PATCH_SIZE
from cloudmask.scenes.slstr import CHANNELS

REPETITIONS = 5
WIDTHS = (32, 64, 128, 256)


@dataclass(frozen=True)
class Layer:
    """A convolution: input and output channels, and the side of its input in pixels."""

    inputs: int
    outputs: int
    size: int
    transposed: bool = False

    @property
    def flop(self) -> float:
        """Floating-point operations of the forward pass of a patch."""
        return 2.0 * self.side**2 * self.inputs * self.outputs * self.size**2

    @property
    def side(self) -> int:
        """Side of the kernel."""
        return 4 if self.transposed else 3

    @property
    def name(self) -> str:
        """Description for the table."""
        kind = "4x4, stride 1/2" if self.transposed else "3x3"
        return f"{self.inputs:3d} to {self.outputs:3d} at {self.size:3d}, {kind}"


def layers(split: bool) -> list[Layer]:
    """The U-Net's convolutions; with `split`, separate ones for upsampled and skip features."""
    found = []
    before = CHANNELS
    for depth, width in enumerate(WIDTHS):
        size = PATCH_SIZE >> depth
        found += [Layer(before, width, size), Layer(width, width, size)]
        before = width
    for depth, width in reversed(list(enumerate(WIDTHS[:-1]))):
        size = PATCH_SIZE >> depth
        if split:
            found += [Layer(before, width, size // 2, transposed=True), Layer(width, width, size)]
        else:
            found += [Layer(before + width, width, size)]
        found += [Layer(width, width, size)]
        before = width
    return found


def seconds(
    layer: Layer, batch: int, device: torch.device, dtype: torch.dtype, layout: torch.memory_format
) -> float:
    """Shortest time of a forward and backward pass; the image itself needs no gradient."""

    def numbers(*shape: int) -> Tensor:
        return torch.randn(shape, device=device).to(dtype).contiguous(memory_format=layout)

    x = numbers(batch, layer.inputs, layer.size, layer.size).requires_grad_(
        layer.inputs != CHANNELS
    )
    first, second = (
        (layer.inputs, layer.outputs) if layer.transposed else (layer.outputs, layer.inputs)
    )
    weight = numbers(first, second, layer.side, layer.side).requires_grad_()

    def forward() -> Tensor:
        if layer.transposed:
            return F.conv_transpose2d(x, weight, stride=2, padding=1)
        return F.conv2d(x, weight, padding=1)

    gradient = torch.randn_like(forward())
    times = []
    for _ in range(1 + REPETITIONS):
        began = time.perf_counter()
        forward().backward(gradient)
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        times.append(time.perf_counter() - began)
        x.grad = weight.grad = None
    return min(times[1:])


def measure(
    found: list[Layer],
    batch: int,
    device: torch.device,
    dtype: torch.dtype,
    layout: torch.memory_format,
) -> float:
    """Print the time and rate of each layer; returns the sum of the times in seconds."""
    total = 0.0
    for layer in found:
        taken = seconds(layer, batch, device, dtype, layout)
        passes = 2 if layer.inputs == CHANNELS else 3
        rate = passes * batch * layer.flop / taken
        print(f"  {layer.name:34s} {1e3 * taken:8.2f} ms {1e-9 * rate:10.0f} GFLOP/s")
        total += taken
    return total


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.convolutions")
    parser.add_argument("--batch-size", type=int, default=configure([]).batch_size)
    batch = parser.parse_args().batch_size
    if batch < 1:
        parser.error(f"--batch-size is {batch}: it must be at least 1")
    keep_freed_memory()
    world = initialise_process_group()
    dtype = choose_precision("auto", world.device).dtype
    print(f"ours: {dtype}, channels last, split")
    ours = measure(layers(split=True), batch, world.device, dtype, torch.channels_last)
    print("plain: float32, NCHW, concatenated")
    plain = measure(
        layers(split=False), batch, world.device, torch.float32, torch.contiguous_format
    )
    print(f"ours {1e3 * ours:.0f} ms, plain {1e3 * plain:.0f} ms, ratio {plain / ours:.2f}")
    destroy_process_group()
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
