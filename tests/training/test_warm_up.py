"""The warm-up: what it prepares, and that it leaves the trainer as it was."""

import copy
from dataclasses import replace

import pytest
import torch

from cloudmask.config import Config
from cloudmask.training import warm_up as module
from cloudmask.training.warm_up import warm_up
from tests.training.trainers import batch_of, make_trainer, random_store, recorded_steps, train


def assert_same(state, expected):
    torch.testing.assert_close(state, expected, rtol=0, atol=0, equal_nan=True)


@pytest.mark.parametrize("recipe", ["reference", "fast"])
def test_warm_up_leaves_the_state_and_random_numbers_as_they_were(alone, recipe, monkeypatch):
    trainer = make_trainer(alone, f"--recipe={recipe}")
    train(trainer, random_store(2))
    before = copy.deepcopy(trainer.state())
    steps = recorded_steps(trainer, monkeypatch)
    warm_up(trainer)
    assert len(steps) == 1
    assert_same(trainer.state(), before)
    assert all(parameter.grad is None for parameter in trainer.network.parameters())


def test_warm_up_has_the_shapes_of_training_and_evaluation(alone, monkeypatch):
    trainer = make_trainer(alone, "--batch-size=3", "--evaluation-batch-size=5")
    asked = []
    original = trainer.random_batch

    def random_batch(patches):
        asked.append(patches)
        return original(patches)

    monkeypatch.setattr(trainer, "random_batch", random_batch)
    warm_up(trainer, evaluation_patches=12)
    assert asked == [3, 4]  # a training step, and one of the three batches of an evaluation
    images, labels = original(3)
    expected_images, expected_labels = batch_of(random_store(3))
    for mine, expected in ((images, expected_images), (labels, expected_labels)):
        assert (mine.shape, mine.dtype) == (expected.shape, expected.dtype)
    assert images.is_contiguous(memory_format=torch.channels_last)


def test_warm_up_takes_more_steps_where_more_is_prepared_in_them(alone):
    trainer = make_trainer(alone)
    trainer.world = replace(alone, size=2)
    assert module._steps(trainer) == 2
    trainer.config = replace(Config(), compile_mode="default")
    assert module._steps(trainer) == 3
