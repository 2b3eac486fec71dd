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
from cloudmask.config import Config
from cloudmask.distributed.heartbeat import RESTARTS_VARIABLE, RUN_VARIABLE
from cloudmask.distributed.process_group import World, broadcast, on_rank_zero
from cloudmask.errors import InputError

LARGEST_SEED = 2**31 - 1


@dataclass(frozen=True)
class ResumePoint:
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


def find_resume_point(
    config: Config,
    parameters: Mapping[str, Any],
    world: World,
    report: Callable[[str], object],
) -> ResumePoint:
    """Where `config.resume`, or the fault before a restart, lets training begin.

    Rank 0 looks and tells the others. What is passed over is reported on rank 0. `parameters` is
    what the course of training depends on besides its seed; a checkpoint must have the same.

    Raises:
        InputError: the checkpoint that was asked for is damaged, belongs to another training, or
            has no epochs left to do.
    """
    beginning = broadcast(on_rank_zero(world, lambda: _look(config, parameters, report)))
    assert beginning is not None
    return beginning


def _look(
    config: Config, parameters: Mapping[str, Any], report: Callable[[str], object]
) -> ResumePoint:
    run = os.environ.get(RUN_VARIABLE) or uuid.uuid4().hex
    restarts = int(os.environ.get(RESTARTS_VARIABLE, 0))
    found = _found(config, parameters, run, restarts, report)
    if found is None:
        seed = config.seed or random.randint(1, LARGEST_SEED)
        return ResumePoint([run], seed, restarts)
    path, checkpoint = found
    if checkpoint.epoch >= config.epochs:
        raise InputError(
            f"checkpoint {path} is of epoch {checkpoint.epoch} and epochs is {config.epochs}: "
            "give more epochs, or resume never"
        )
    runs = [*checkpoint.runs, *([] if run in checkpoint.runs else [run])]
    return ResumePoint(runs, checkpoint.seed, restarts, path, checkpoint)


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
