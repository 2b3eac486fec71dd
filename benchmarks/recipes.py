"""Trials of training recipes: epochs, samples and seconds until the target accuracy.

    python -m benchmarks.recipes --datadir DIR [--seeds 1 2 3] [--patches N] TRIAL [TRIAL ...]

A TRIAL is a comma-separated list of parameters of the run, such as
`recipe=reference` or `learning_rate=0.002,batch_size=2`; `fast` alone is the default recipe. The
patches are staged once, then trials and seeds alternate. One line of JSON a run goes to standard
output. Seconds are those of training and evaluation.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import torch

from cloudmask.config import Config, configure
from cloudmask.data.staging import Staging
from cloudmask.data.store import PatchStore, StorePlan
from cloudmask.training.allocator import keep_freed_memory
from cloudmask.training.distributed import World, join_world, leave_world
from cloudmask.training.plan import make_plan
from cloudmask.training.precision import choose_precision
from cloudmask.training.trainer import Trainer


@dataclass(frozen=True)
class Outcome:
    """One run of a trial.

    Attributes:
        trial: the parameters that were given.
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
    """So many patches of a store, evenly spread, so that they are of as many scenes."""
    kept = torch.linspace(0, len(store) - 1, patches).round().long()
    return PatchStore(*(part[kept] for part in store.parts))


def run(trial: str, seed: int, datadir: Path, world: World, stores: list[PatchStore]) -> Outcome:
    """Train until the target, or until the trial's epochs are used up."""
    flags = [f"--{item}" for item in trial.split(",") if item != "fast"]
    config = configure([*flags, f"--datadir={datadir}", f"--seed={seed}"])
    trainer = Trainer(config, world, choose_precision(config.precision, world.device))
    trainer.warm_up()
    training, validation = stores
    accuracies: list[float] = []
    began = time.perf_counter()
    while len(accuracies) < config.epochs:
        trainer.train_epoch(len(accuracies) + 1, training, lambda steps: None)
        accuracy = trainer.evaluate(validation).accuracy
        trainer.heed(accuracy)
        accuracies.append(round(accuracy, 4))
        if accuracy >= config.target_accuracy:
            break
    return Outcome(
        trial=trial,
        seed=seed,
        reached=accuracies[-1] >= config.target_accuracy,
        epochs=len(accuracies),
        samples=len(accuracies) * len(training),
        seconds=round(time.perf_counter() - began, 1),
        accuracies=accuracies,
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
    world = join_world()
    training, validation = stage(configure([f"--datadir={options.datadir}"]), world)
    if options.patches is not None:
        if not 1 <= options.patches <= len(training):
            parser.error(f"--patches is {options.patches}: it must be 1 to {len(training)}")
        training = thinned(training, options.patches)
    stores = [training, validation]
    for seed in options.seeds:
        for trial in options.trials:
            outcome = run(trial, seed, options.datadir, world, stores)
            print(json.dumps(asdict(outcome)), flush=True)
    leave_world()


if __name__ == "__main__":
    main()
