"""Where training begins: anew, or at a checkpoint that this very training could have left."""

from __future__ import annotations

import os
import random
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cloudmask.checkpoints.folder import newest_good, require_fit
from cloudmask.checkpoints.format import Checkpoint, read_checkpoint
from cloudmask.config import RECIPES, Config
from cloudmask.distributed.heartbeat import RESTARTS_VARIABLE, RUN_VARIABLE
from cloudmask.distributed.process_group import World, lead, tell_all
from cloudmask.errors import InputError
from cloudmask.timed_run.plan import Plan

LARGEST_SEED = 2**31 - 1


@dataclass(frozen=True)
class Beginning:
    """The start of training, the same on every rank.

    Attributes:
        runs: names of the run and of those that it goes on from, which nothing else has.
        seed: of weights, order of the data and augmentation.
        restarts: how often the run was started again after a fault.
        path, checkpoint: what it goes on from, if it does.
    """

    runs: Sequence[str]
    seed: int
    restarts: int
    path: Path | None = None
    checkpoint: Checkpoint | None = None

    @property
    def epoch(self) -> int:
        """The last epoch that is already done; 0 if none is."""
        return self.checkpoint.epoch if self.checkpoint else 0

    @property
    def resumed(self) -> bool:
        """Whether this is not one whole run from the first byte of data."""
        return self.checkpoint is not None or self.restarts > 0


def find_beginning(
    config: Config, plan: Plan, world: World, report: Callable[[str], object]
) -> Beginning:
    """Where `config.resume`, or the fault before a restart, lets training begin.

    Rank 0 looks and tells the others. What is passed over is reported on rank 0.

    Raises:
        InputError: the checkpoint that was asked for is damaged, belongs to another training, or
            has no epochs left to do.
    """
    beginning = tell_all(lead(world, lambda: _look(config, plan, world, report)))
    assert beginning is not None
    return beginning


def training_parameters(config: Config, plan: Plan, world: World) -> dict[str, Any]:
    """What the course of training depends on besides its seed."""
    of_muon = ("kernel_learning_rate", "kernel_momentum")
    names = [*RECIPES["reference"], *of_muon, "batch_size", "patch_size"]
    return {
        "dataset": plan.dataset,
        "train_samples": plan.counts.train_samples,
        "eval_samples": plan.counts.eval_samples,
        "ranks": world.size,
        **{name: getattr(config, name) for name in names},
    }


def _look(config: Config, plan: Plan, world: World, report: Callable[[str], object]) -> Beginning:
    run = os.environ.get(RUN_VARIABLE) or uuid.uuid4().hex
    restarts = int(os.environ.get(RESTARTS_VARIABLE, 0))
    found = _found(config, training_parameters(config, plan, world), run, restarts, report)
    if found is None:
        seed = config.seed or random.randint(1, LARGEST_SEED)
        return Beginning([run], seed, restarts)
    path, checkpoint = found
    if checkpoint.epoch >= config.epochs:
        raise InputError(
            f"checkpoint {path} is of epoch {checkpoint.epoch} and epochs is {config.epochs}: "
            "give more epochs, or resume never"
        )
    runs = [*checkpoint.runs, *([] if run in checkpoint.runs else [run])]
    return Beginning(runs, checkpoint.seed, restarts, path, checkpoint)


def _found(
    config: Config,
    parameters: Mapping[str, Any],
    run: str,
    restarts: int,
    report: Callable[[str], object],
) -> tuple[Path, Checkpoint] | None:
    if restarts:
        found = newest_good(config.checkpoints, parameters, config.seed, run, report)
        if found is not None:
            return found
    if config.resume == "never":
        return None
    if config.resume == "auto":
        return newest_good(config.checkpoints, parameters, config.seed, None, report)
    path = Path(config.resume)
    checkpoint = read_checkpoint(path)
    require_fit(path, checkpoint, parameters, config.seed)
    return path, checkpoint
