"""What a rank finds on its share of four patches; as a program, on rank 1 of 2.

python -m tests.training.two_ranks STORE OUTPUT
"""

from __future__ import annotations

import sys
from datetime import timedelta
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist

from cloudmask.distributed.process_group import World
from tests.training.trainers import CPU, make_trainer, random_store, train

RECIPES = ("reference", "fast")


def join(rank: int, file: Path) -> World:
    """Initialise the process group of two ranks that meet in a file."""
    store, timeout = dist.FileStore(str(file), 2), timedelta(minutes=5)
    dist.init_process_group("gloo", store=store, rank=rank, world_size=2, timeout=timeout)
    return World(rank, 2, rank, 2, CPU)


def findings(world: World, recipe: str) -> dict[str, Any]:
    """Gradients and loss of a step on all patches, metrics, and the weights after the step."""
    share = 4 // world.size
    flags = (f"--recipe={recipe}", f"--batch-size={share}", "--no-augment")
    trainer = make_trainer(world, *flags)
    store = random_store(4).narrow(world.rank * share, share)
    trainer.parallel.train()
    trainer.forward_backward(*store.batch(torch.arange(share), CPU))
    gradients = {name: each.grad.clone() for name, each in trainer.network.named_parameters()}
    metrics = trainer.evaluate(store).as_dict()
    loss = train(trainer, store)
    return {
        "gradients": gradients,
        "metrics": metrics,
        "loss": loss,
        "weights": trainer.network.state_dict(),
    }


if __name__ == "__main__":
    world = join(1, Path(sys.argv[1]))
    torch.save({recipe: findings(world, recipe) for recipe in RECIPES}, sys.argv[2])
    dist.destroy_process_group()
