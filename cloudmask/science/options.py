"""Options of the command `evaluate`, in a module that is quick to import."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from cloudmask.config import Config


@dataclass(frozen=True)
class EvaluationOptions:
    """Options of `evaluate`."""

    weights: Path
    scenes: Path
    training_scenes: Path | None = None
    bayesian_screen: Path | None = None
    matchups: Path | None = None
    output: Path | None = None
    format: str = "text"
    min_sst: float = Config.min_sst
    positive_weight: float = Config.positive_weight
    batch_size: int = Config.evaluation_batch_size
    workers: int = 1
