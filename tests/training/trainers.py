"""Trainers of a narrow network, and patches for them."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from unittest import mock

import pytest
import torch

from cloudmask.config import configure
from cloudmask.distributed.process_group import World
from cloudmask.model.precision import choose_precision
from cloudmask.model.unet import UNet
from cloudmask.patches.store import PatchStore
from cloudmask.training.trainer import Trainer

CPU = torch.device("cpu")
WIDTHS = (4, 4, 4, 4)
FLAGS = ["--batch-size=2", "--patch-size=32", "--precision=float32", "--seed=5"]


def make_trainer(world: World, *flags: str, **values: object) -> Trainer:
    """A trainer whose network has the `WIDTHS`; flags go after the `FLAGS`, and values last."""
    config = replace(configure([*FLAGS, *flags]), **values)
    with mock.patch("cloudmask.training.trainer.UNet", partial(UNet, widths=WIDTHS)):
        return Trainer(config, world, choose_precision(config.precision, CPU))


def random_store(patches: int = 4, size: int = 32) -> PatchStore:
    """Patches of noise whose label is the sign of their last channel."""
    generator = torch.Generator().manual_seed(1)
    images = torch.randn(patches, size, size, 9, generator=generator)
    return PatchStore(images[..., :6], images[..., 6:], (images[..., 8] < 0).to(torch.uint8))


def train(trainer: Trainer, store: PatchStore, epoch: int = 1) -> float:
    """The loss of an epoch that reports no progress."""
    return trainer.train_epoch(epoch, store, lambda steps: None)


def batch_of(store: PatchStore) -> tuple[torch.Tensor, torch.Tensor]:
    """All patches of a store as one batch."""
    return store.batch(torch.arange(len(store)), CPU)


def recorded_steps(
    trainer: Trainer, monkeypatch: pytest.MonkeyPatch
) -> list[tuple[torch.Tensor, torch.Tensor, float]]:
    """The batches and losses of the steps that the trainer takes from now on."""
    steps: list[tuple[torch.Tensor, torch.Tensor, float]] = []
    original = trainer.forward_backward

    def forward_backward(images, labels):
        loss = original(images, labels)
        steps.append((images, labels, float(loss)))
        return loss

    monkeypatch.setattr(trainer, "forward_backward", forward_backward)
    return steps
