"""Training rate of the default recipe against a plain float32 NCHW eager loop: patches a second.

    python -m benchmarks.training [repetitions]

Both train the same network on the same random patches in the same process; repetitions alternate,
so that a slow moment of the machine hits both. Prints medians with the spread of the ratio.
"""

from __future__ import annotations

import platform
import statistics
import sys
import time
from collections.abc import Callable

import torch

from cloudmask.config import configure
from cloudmask.data.store import PatchStore
from cloudmask.model.loss import weighted_bce
from cloudmask.model.unet import UNet
from cloudmask.training.distributed import join_world, leave_world
from cloudmask.training.precision import choose_precision
from cloudmask.training.trainer import Trainer

STEPS = 4


def rate(step: Callable[[], object], patches: int, device: torch.device) -> float:
    """Patches a second over `STEPS` steps."""
    began = time.perf_counter()
    for _ in range(STEPS):
        step()
    if device.type == "cuda":
        torch.cuda.synchronize()
    return STEPS * patches / (time.perf_counter() - began)


def plain_loop(batch_norm: bool, images: torch.Tensor, labels: torch.Tensor) -> Callable[[], None]:
    """A step as a first version would have it: float32, NCHW, eager, no fused optimizer."""
    network = UNet(batch_norm=batch_norm).to(images.device)
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-3)
    inputs = images.float().contiguous()

    def step() -> None:
        optimizer.zero_grad()
        weighted_bce(network(inputs), labels).backward()
        optimizer.step()

    return step


def main(repetitions: int) -> None:
    """Measure and print."""
    world = join_world()
    config = configure([])
    precision = choose_precision(config.precision, world.device)
    trainer = Trainer(config, world, precision)
    images, labels = trainer.random_batch(config.batch_size)
    store = PatchStore(
        images.permute(0, 2, 3, 1).repeat(STEPS, 1, 1, 1), labels[:, 0].repeat(STEPS, 1, 1)
    )
    plain = plain_loop(config.batch_norm, images, labels)
    trainer.train_epoch(0, store, lambda steps: None)
    plain()

    ours, baseline = [], []
    for epoch in range(repetitions):
        began = time.perf_counter()
        trainer.train_epoch(epoch, store, lambda steps: None)
        ours.append(len(store) / (time.perf_counter() - began))
        baseline.append(rate(plain, config.batch_size, world.device))
    ratios = sorted(a / b for a, b in zip(ours, baseline, strict=True))
    print(f"{platform.machine()}, {torch.get_num_threads()} threads, torch {torch.__version__}")
    print(f"{config.recipe} recipe, {precision.name:9s} {statistics.median(ours):8.2f} patches/s")
    print(f"plain loop, float32       {statistics.median(baseline):8.2f} patches/s")
    print(f"ratio {statistics.median(ratios):.2f} ({ratios[0]:.2f} to {ratios[-1]:.2f})")
    leave_world()


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 5)
