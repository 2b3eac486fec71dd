"""Trials of training recipes: epochs, samples and seconds until the target accuracy.

    python -m benchmarks.recipes TRIAL [TRIAL ...] --datadir DIR [--seeds 1 2 3] [--patches N]
        [--patch-size P] [--steps S]

A TRIAL is a comma-separated list of parameters of the run, such as
`recipe=reference` or `learning_rate=0.002,batch_size=2`; `fast` alone is the default recipe. The
patches are staged once, then trials and seeds alternate. Each run prints one line of JSON, and each
of its epochs one on standard error. Seconds are those of training and evaluation.

With `--steps`, an epoch has so many steps, whatever the number of patches: 485 steps of 32 patches
are an epoch of DS1. With `--patch-size`, scenes are cut into smaller patches, which cost less.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from itertools import repeat
from pathlib import Path

import torch

from cloudmask.config import Config, configure
from cloudmask.distributed.host_allocator import keep_freed_memory
from cloudmask.distributed.process_group import (
    World,
    destroy_process_group,
    initialise_process_group,
)
from cloudmask.errors import InputError
from cloudmask.model.precision import choose_precision
from cloudmask.patches.staging import Staging
from cloudmask.patches.store import PatchStore, StorePlan
from cloudmask.timed_run.plan import make_plan
from cloudmask.training.trainer import Trainer
from cloudmask.training.warm_up import warm_up

# Parameters of staging, which is done once for all trials, as an option or not at all.
STAGED_BY = ("patch_size", "precision")


@dataclass(frozen=True)
class Outcome:
    """One run of a trial.

    Attributes:
        trial: the parameters of the trial, as given.
        epochs, samples, seconds: until the target, or until the run gave up.
        accuracies: validation accuracy after each epoch.
        losses: mean training loss of each epoch.
    """

    trial: str
    seed: int
    reached: bool
    epochs: int
    samples: int
    seconds: float
    accuracies: list[float]
    losses: list[float]


def stage(config: Config, world: World) -> list[PatchStore]:
    """The training and the validation patches of a data set, in host memory."""
    plan = make_plan(config, world)
    dtype = choose_precision(config.precision, world.device).store_dtype
    shares = (plan.counts.train_share(0), plan.counts.eval_share(0))
    plans = [
        StorePlan(scenes, share, config.patch_size, dtype)
        for scenes, share in zip((plan.training, plan.validation), shares, strict=True)
    ]
    workers = len(os.sched_getaffinity(0))
    with Staging(plans, "host", world.device, workers, config.scratch) as staging:
        return staging.fill()


def thinned(store: PatchStore, patches: int) -> PatchStore:
    """`patches` patches of a store, evenly spread, so that they are from as many scenes.

    Raises:
        InputError: the store has fewer patches.
    """
    if not 1 <= patches <= len(store):
        raise InputError(f"--patches is {patches}: it must be 1 to {len(store)}")
    kept = torch.linspace(0, len(store) - 1, patches).round().long()
    return PatchStore(*(tensor[kept] for tensor in store.tensors))


def epochs_of(store: PatchStore, patches: int | None, seed: int) -> Iterator[PatchStore]:
    """The patches of one epoch after the other: all of the store, or `patches` of them.

    Every patch of the store is taken once before any is taken again.
    """
    if patches is None:
        yield from repeat(store)
        return
    generator = torch.Generator().manual_seed(seed)
    waiting = torch.empty(0, dtype=torch.int64)
    while True:
        while len(waiting) < patches:
            waiting = torch.cat([waiting, torch.randperm(len(store), generator=generator)])
        taken, waiting = waiting.split([patches, len(waiting) - patches])
        yield PatchStore(*(tensor[taken] for tensor in store.tensors))


def configuration(trial: str, staged: Config) -> Config:
    """The configuration of a trial on the patches that are staged.

    Raises:
        InputError: an unknown parameter, or one of staging.
    """
    config = configure([f"--{item}" for item in trial.split(",") if item != "fast"])
    default = Config()
    for name in STAGED_BY:
        if getattr(config, name) != getattr(default, name):
            raise InputError(
                f"trial {trial}: {name} is {getattr(config, name)}, but patches are staged once, "
                f"for {getattr(staged, name)}: leave it out"
            )
    return replace(config, datadir=staged.datadir, patch_size=staged.patch_size)


def run(
    trial: str, config: Config, world: World, stores: list[PatchStore], steps: int | None = None
) -> Outcome:
    """Train until the target, or until the trial's epochs, each of so many steps, are used up."""
    trainer = Trainer(config, world, choose_precision(config.precision, world.device))
    training, validation = stores
    warm_up(trainer, evaluation_patches=len(validation))
    patches = None if steps is None else steps * config.batch_size
    epochs = epochs_of(training, patches, trainer.seed)
    accuracies, losses = list[float](), list[float]()
    began = time.perf_counter()
    while len(accuracies) < config.epochs:
        loss = trainer.train_epoch(len(accuracies) + 1, next(epochs), lambda steps: None)
        losses.append(round(loss, 4))
        accuracy = trainer.evaluate(validation).accuracy
        trainer.schedule.record_accuracy(accuracy)
        accuracies.append(round(accuracy, 4))
        print(
            f"{trial} seed {trainer.seed} epoch {len(accuracies)}: loss {loss:.4f}, "
            f"accuracy {accuracy:.4f}, {time.perf_counter() - began:.0f} s",
            file=sys.stderr,
        )
        if accuracy >= config.target_accuracy:
            break
    return Outcome(
        trial=trial,
        seed=trainer.seed,
        reached=accuracies[-1] >= config.target_accuracy,
        epochs=len(accuracies),
        samples=len(accuracies) * (len(training) if patches is None else patches),
        seconds=round(time.perf_counter() - began, 1),
        accuracies=accuracies,
        losses=losses,
    )


def require_whole_batches(configs: Mapping[str, Config], patches: int) -> None:
    """Refuse a trial whose last batch of an epoch would be incomplete.

    Raises:
        InputError: names the trial.
    """
    for trial, config in configs.items():
        if patches % config.batch_size:
            raise InputError(
                f"trial {trial}: {patches} patches are no whole number of batches of "
                f"{config.batch_size}: give other --patches"
            )


def main() -> None:
    """Run every trial with every seed."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("trials", nargs="+", metavar="TRIAL")
    parser.add_argument("--datadir", type=Path, required=True)
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3])
    parser.add_argument(
        "--patches", type=int, help="train on so many patches only, spread evenly over the scenes"
    )
    parser.add_argument("--patch-size", type=int, default=Config().patch_size, metavar="P")
    parser.add_argument("--steps", type=int, metavar="S", help="steps of an epoch")
    options = parser.parse_args()
    keep_freed_memory()
    world = initialise_process_group()
    try:
        staged = Config(datadir=options.datadir, patch_size=options.patch_size)
        configs = {trial: configuration(trial, staged) for trial in options.trials}
        stores = stage(staged, world)
        if options.patches is not None:
            stores[0] = thinned(stores[0], options.patches)
        if options.steps is None:
            require_whole_batches(configs, len(stores[0]))
        for seed in options.seeds:
            for trial, config in configs.items():
                outcome = run(trial, replace(config, seed=seed), world, stores, options.steps)
                print(json.dumps(asdict(outcome)), flush=True)
    except InputError as error:
        parser.error(str(error))
    finally:
        destroy_process_group()


if __name__ == "__main__":
    main()
