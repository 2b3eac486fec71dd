"""The card of a run's weights: what they were trained on, their score and their calibration."""

from __future__ import annotations

from datetime import datetime, timezone

from cloudmask.config import Config
from cloudmask.model.card import Card, limits_of
from cloudmask.patches.store import PatchStore
from cloudmask.source import source_commit
from cloudmask.timed_run.plan import Plan
from cloudmask.training.calibration import calibrate
from cloudmask.training.trainer import Progress, Trainer


def make_card(
    config: Config, plan: Plan, trainer: Trainer, validation: PatchStore, progress: Progress
) -> Card:
    """The card of the weights that the run ended with; all ranks calibrate together."""
    temperature, accuracy = calibrate(trainer, validation, progress)
    counts = plan.counts
    return Card(
        dataset=plan.dataset,
        commit=source_commit() if trainer.world.is_rank_zero else "unknown",
        recipe=config.recipe,
        seed=config.seed,
        epochs=trainer.schedule.steps * counts.global_batch_size // counts.train_samples,
        training_patches=counts.train_samples,
        validation_accuracy=accuracy,
        temperature=temperature,
        date=f"{datetime.now(timezone.utc):%Y-%m-%d}",
        limits=limits_of(plan.dataset),
    )
