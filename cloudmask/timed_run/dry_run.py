"""A dry run of a configuration on one machine: the share of each rank, and one step of rank 0.

It reads no data. The process group is torch's fake one, whose collectives do nothing, so that
32 ranks need one process.
"""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import replace

import torch
import torch.distributed as dist
from torch.testing._internal.distributed.fake_pg import FakeStore

from cloudmask.config import Config
from cloudmask.distributed.process_group import World
from cloudmask.errors import EXIT_OK
from cloudmask.model.precision import choose_precision
from cloudmask.patches.store import Share
from cloudmask.tables import counted
from cloudmask.timed_run.plan import Counts, count_patches
from cloudmask.training.trainer import Trainer

DS1_TRAINING_SCENES = 970


def dry_run(config: Config) -> int:
    """Print the counts of `config` on DS1, and take rank 0's first step on random numbers.

    Raises:
        InputError: the configuration cannot run on DS1.
    """
    counts = count_patches(DS1_TRAINING_SCENES, config, config.world_size)
    print(
        f"dry run of {config.system}: {counted(config.nodes, 'node')} x "
        f"{counted(config.processes_per_node, 'process')} = {counted(config.world_size, 'rank')}, "
        f"{counted(DS1_TRAINING_SCENES, 'scene', 'training')}\n"
        f"global batch {counts.global_batch_size} ({config.batch_size} a rank), "
        f"{counted(counts.train_samples // counts.global_batch_size, 'step')} an epoch\n"
        f"train_samples {counts.train_samples}\n"
        f"eval_samples {counts.eval_samples}"
    )
    for rank in range(config.world_size):
        print(_share_line(rank, counts))
    _take_step(config)
    print("rank 0 took a step on random numbers")
    return EXIT_OK


def _share_line(rank: int, counts: Counts) -> str:
    def range_of(share: Share) -> str:
        return f"{share.count} ({share.first}..{share.first + share.count - 1})"

    train, evaluation = counts.train_share(rank), counts.eval_share(rank)
    return f"rank {rank:3d}   train {range_of(train)}   eval {range_of(evaluation)}"


def _take_step(config: Config) -> None:
    world = World(0, config.world_size, 0, config.processes_per_node, torch.device("cpu"))
    dist.init_process_group("fake", store=FakeStore(), rank=0, world_size=config.world_size)
    try:
        precision = choose_precision("float32", world.device)
        trainer = Trainer(replace(config, compile_mode="off"), world, precision)
        trainer.parallel.train()
        # The fake group cannot reduce gradients.
        with getattr(trainer.parallel, "no_sync", nullcontext)():
            trainer.step(*trainer.random_batch(config.batch_size))
    finally:
        dist.destroy_process_group()
