"""Trials of training recipes: epochs, samples and seconds until the target accuracy.

    python -m benchmarks.recipes TRIAL [TRIAL ...] --datadir DIR [--seeds 1 2 3] [--patches N]

A TRIAL is a comma-separated list of parameters of the run, such as
`recipe=reference` or `learning_rate=0.002,batch_size=2`; `fast` alone is the default recipe. The
patches are staged once, then trials and seeds alternate. Each run prints one line of JSON.
Seconds are those of training and evaluation.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
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

# Parameters of staging, which is done once for all trials.
STAGED_BY = ("patch_size", "precision")


@dataclass(frozen=True)
class Outcome:
    """One run of a trial.

    Attributes:
        trial: the parameters of the trial, as given.
        epochs, samples, seconds: until the target, or until the run gave up.
        accuracies: validation accuracy after each epoch.
    """

    trial: str
    seed: int
    reached: bool
    epochs: int
    samples: int
    seconds: float
    accuracies: list[float]


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


def configuration(trial: str, datadir: Path) -> Config:
    """The configuration of a trial.

    Raises:
        InputError: an unknown parameter, or one of staging that differs from its default.
    """
    config = configure([f"--{item}" for item in trial.split(",") if item != "fast"])
    default = Config()
    for name in STAGED_BY:
        if getattr(config, name) != getattr(default, name):
            raise InputError(
                f"trial {trial}: {name} is {getattr(config, name)}, but patches are staged once, "
                f"for {getattr(default, name)}: leave it out"
            )
    return replace(config, datadir=datadir)


def run(trial: str, config: Config, world: World, stores: list[PatchStore]) -> Outcome:
    """Train until the target, or until the trial's epochs are used up."""
    trainer = Trainer(config, world, choose_precision(config.precision, world.device))
    trainer.warm_up()
    training, validation = stores
    accuracies: list[float] = []
    began = time.perf_counter()
    while len(accuracies) < config.epochs:
        trainer.train_epoch(len(accuracies) + 1, training, lambda steps: None)
        accuracy = trainer.evaluate(validation).accuracy
        trainer.schedule.record_accuracy(accuracy)
        accuracies.append(round(accuracy, 4))
        if accuracy >= config.target_accuracy:
            break
    return Outcome(
        trial=trial,
        seed=trainer.seed,
        reached=accuracies[-1] >= config.target_accuracy,
        epochs=len(accuracies),
        samples=len(accuracies) * len(training),
        seconds=round(time.perf_counter() - began, 1),
        accuracies=accuracies,
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
    options = parser.parse_args()
    keep_freed_memory()
    world = initialise_process_group()
    try:
        configs = {trial: configuration(trial, options.datadir) for trial in options.trials}
        stores = stage(Config(datadir=options.datadir), world)
        if options.patches is not None:
            stores[0] = thinned(stores[0], options.patches)
        require_whole_batches(configs, len(stores[0]))
        for seed in options.seeds:
            for trial, config in configs.items():
                outcome = run(trial, replace(config, seed=seed), world, stores)
                print(json.dumps(asdict(outcome)), flush=True)
    except InputError as error:
        parser.error(str(error))
    finally:
        destroy_process_group()


if __name__ == "__main__":
    main()
