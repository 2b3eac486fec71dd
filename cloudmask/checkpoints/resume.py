"""The resume point: training starts from epoch 1, or from a checkpoint of the same training."""

from __future__ import annotations

import os
import random
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cloudmask.checkpoints.folder import newest_matching, require_same_training
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
        runs: unique names of the run and of the runs that it resumes.
        seed: of weights, data order and augmentation.
        restarts: number of restarts after faults.
        path, checkpoint: the checkpoint to resume from, and its file, if there is one.
    """

    runs: Sequence[str]
    seed: int
    restarts: int
    path: Path | None = None
    checkpoint: Checkpoint | None = None

    @property
    def epoch(self) -> int:
        """The last finished epoch; 0 at the start."""
        return self.checkpoint.epoch if self.checkpoint else 0

    @property
    def resumed(self) -> bool:
        """Whether the run is not timed as a whole, from the first byte of data."""
        return self.checkpoint is not None or self.restarts > 0


def find_resume_point(
    config: Config,
    parameters: Mapping[str, Any],
    world: World,
    report: Callable[[str], object],
) -> ResumePoint:
    """Find where `config.resume`, or a restart after a fault, lets training start.

    Rank 0 reads the checkpoints, and reports those that it passes over. `parameters` is everything
    besides the seed that determines training; a checkpoint must have the same.

    Raises:
        InputError: the requested checkpoint is damaged, belongs to another training, or leaves no
            epoch to train.
    """
    resume_point = broadcast(on_rank_zero(world, lambda: _choose(config, parameters, report)))
    assert resume_point is not None
    return resume_point


def _choose(
    config: Config, parameters: Mapping[str, Any], report: Callable[[str], object]
) -> ResumePoint:
    run = os.environ.get(RUN_VARIABLE) or uuid.uuid4().hex
    restarts = int(os.environ.get(RESTARTS_VARIABLE, 0))
    found = _find_checkpoint(config, parameters, run, restarts, report)
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


def _find_checkpoint(
    config: Config,
    parameters: Mapping[str, Any],
    run: str,
    restarts: int,
    report: Callable[[str], object],
) -> tuple[Path, Checkpoint] | None:
    if restarts:
        found = newest_matching(config.checkpoints, parameters, config.seed, run, report)
        if found is not None:
            return found
    if config.resume == "never":
        return None
    if config.resume == "auto":
        return newest_matching(config.checkpoints, parameters, config.seed, None, report)
    path = Path(config.resume)
    checkpoint = read_checkpoint(path)
    require_same_training(path, checkpoint, parameters, config.seed)
    return path, checkpoint
