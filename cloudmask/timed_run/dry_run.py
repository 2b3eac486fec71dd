"""A dry run of a configuration on one machine: the share of each rank, and one step of rank 0.

It reads no scene. The process group is torch's fake one, whose collectives do nothing, so that
32 ranks need one process.
"""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path

import torch
import torch.distributed as dist
from torch.testing._internal.distributed.fake_pg import FakeStore

from cloudmask.config import Config
from cloudmask.distributed.process_group import World
from cloudmask.errors import EXIT_OK
from cloudmask.model.precision import choose_precision
from cloudmask.patches.geometry import scenes_to_fill
from cloudmask.patches.store import Share
from cloudmask.scenes.layout import list_scenes
from cloudmask.synthetic.generate import DEFAULT_TRAINING_SCENES
from cloudmask.tables import counted
from cloudmask.timed_run.plan import Counts, count_patches
from cloudmask.training.trainer import Trainer

DS1_TRAINING_SCENES = 970


def dry_run(config: Config) -> int:
    """Print the counts of `config` on its data, and take rank 0's first step on a random patch.

    Raises:
        InputError: there are no scenes, or too few for this configuration.
    """
    scenes, source = _training_scenes(config)
    counts = count_patches(scenes, config, config.world_size)
    print(
        f"dry run of {config.system}: {counted(config.nodes, 'node')} x "
        f"{counted(config.processes_per_node, 'process')} = {counted(config.world_size, 'rank')}, "
        f"{counted(scenes, 'scene', 'training')} {source}\n"
        f"global batch {counts.global_batch_size} ({config.batch_size} a rank), "
        f"{counted(counts.train_samples // counts.global_batch_size, 'step')} an epoch\n"
        f"train_samples {counts.train_samples}\n"
        f"eval_samples {counts.eval_samples}"
    )
    for rank in range(config.world_size):
        print(_share_line(rank, counts))
    _take_step(config)
    print("rank 0 took a step on a random patch")
    return EXIT_OK


def _training_scenes(config: Config) -> tuple[int, str]:
    """How many training scenes the run would have, and whose they are."""
    is_default = config.datadir == Config.datadir
    if is_default and config.nodes > 1:  # which run_and_time.sh refuses: DS1's are of more use
        return DS1_TRAINING_SCENES, "(as in DS1)"
    # What run_and_time.sh fetches or makes.
    if config.dataset == "ds1" and not _has_scenes(config.datadir):
        return DS1_TRAINING_SCENES, "of DS1, to be fetched"
    if is_default or (config.dataset == "synthetic" and not _has_scenes(config.datadir)):
        there = len(list_scenes(config.datadir, "training")) if _has_scenes(config.datadir) else 0
        filled = scenes_to_fill(config.batch_size * config.world_size, config.patch_size)
        return max(there, DEFAULT_TRAINING_SCENES, filled), "(synthetic)"
    return len(list_scenes(config.datadir, "training")), f"in {config.datadir}"


def _has_scenes(folder: Path) -> bool:
    return folder.is_dir() and any(folder.iterdir())


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
            trainer.step(*trainer.random_batch(1))
    finally:
        dist.destroy_process_group()
