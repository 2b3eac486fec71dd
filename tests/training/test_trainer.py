"""The training step: the same on one rank and on two, and the recipes' parts."""

import json
import math
import subprocess
import sys

import pytest
import torch
import torch.distributed as dist
from torch._C._distributed_c10d import HashStore

from cloudmask.config import configure
from cloudmask.distributed.process_group import World
from cloudmask.model.precision import choose_precision
from cloudmask.patches.staging import Staging
from cloudmask.patches.store import PatchStore, Share, StorePlan
from cloudmask.training.augmentation import flip_and_transpose
from cloudmask.training.trainer import Trainer
from cloudmask.training.weight_average import WeightAverage
from tests.paths import ROOT
from tests.scene_files import product_name, write_learnable_scene

CPU = torch.device("cpu")
FLAGS = ["--batch-size=2", "--patch-size=32", "--precision=float32", "--seed=5"]


@pytest.fixture
def alone():
    dist.init_process_group("gloo", store=HashStore(), rank=0, world_size=1)
    yield World(0, 1, 0, 1, CPU)
    dist.destroy_process_group()


def make_trainer(world, *flags):
    config = configure([*FLAGS, *flags])
    return Trainer(config, world, choose_precision(config.precision, CPU))


def random_store(patches=4, size=32):
    generator = torch.Generator().manual_seed(1)
    images = torch.randn(patches, size, size, 9, generator=generator)
    return PatchStore(images[..., :6], images[..., 6:], (images[..., 8] < 0).to(torch.uint8))


@pytest.mark.slow
@pytest.mark.parametrize("recipe", ["reference", "fast"])
def test_two_ranks_give_the_gradients_of_one_on_the_same_global_batch(tmp_path, recipe):
    answers = {}
    for ranks in (1, 2):
        output = tmp_path / f"{ranks}.pt"
        subprocess.run(
            [
                *(sys.executable, "-m", "torch.distributed.run", "--standalone"),
                *(f"--nproc-per-node={ranks}", "--module", "tests.training.gradients"),
                *(output, str(4 // ranks), recipe),
            ],
            cwd=ROOT,
            check=True,
            timeout=120,
        )
        answers[ranks] = torch.load(output, weights_only=True)
    assert answers[1].keys() == answers[2].keys()
    largest = max(float(gradient.abs().max()) for gradient in answers[1].values())
    assert largest > 1e-3
    for name, expected in answers[1].items():
        torch.testing.assert_close(answers[2][name], expected, atol=1e-5 * largest, rtol=1e-5)


def test_training_lowers_the_loss_and_evaluation_notices(alone):
    trainer = make_trainer(alone, "--augment=false", "--weight-averaging=0.5")
    store = random_store(8)
    before = trainer.evaluate(store)
    losses = [trainer.train_epoch(epoch, store, lambda steps: None) for epoch in range(1, 7)]
    after = trainer.evaluate(store)
    assert losses[-1] < 0.8 * losses[0]
    assert after.accuracy > before.accuracy
    assert after.pixels == 8 * 32 * 32


@pytest.mark.parametrize("value", [torch.nan, torch.inf])
def test_weights_that_are_no_numbers_show_in_the_loss(alone, value):
    trainer = make_trainer(alone, "--recipe=reference")
    assert trainer.train_epoch(1, random_store(2), lambda steps: None) < 10
    with torch.no_grad():
        trainer.network.bottleneck.convolution_b.weight[0, 0, 0, 0] = value
    assert math.isnan(trainer.train_epoch(2, random_store(2), lambda steps: None))


def test_warm_up_leaves_training_as_it_was(alone):
    store = random_store(8)
    warm, cold = make_trainer(alone), make_trainer(alone)
    warm.warm_up()
    for epoch in (1, 2):
        losses = [each.train_epoch(epoch, store, lambda steps: None) for each in (warm, cold)]
        assert losses[0] == losses[1]
    for name, value in cold.evaluation_model.state_dict().items():
        assert torch.equal(value, warm.evaluation_model.state_dict()[name]), name


def test_learning_rate_warms_up_to_its_peak_and_stays(alone):
    trainer = make_trainer(alone, "--warmup-steps=3")
    rates = []
    for _ in range(6):
        rates.append(trainer.schedule.scale)
        trainer.step(*trainer.random_batch(1))
    assert rates == pytest.approx([0.25, 0.5, 0.75, 1, 1, 1])


def test_averaged_weights_are_what_is_evaluated(alone):
    trainer = make_trainer(alone, "--weight-averaging=0.9")
    for _ in range(3):
        trainer.step(*trainer.random_batch(2))
    trained = trainer.network.output.weight
    averaged = trainer.evaluation_model.output.weight
    assert not torch.equal(trained, averaged)
    plain = make_trainer(alone, "--weight-averaging=0")
    assert plain.evaluation_model is plain.network


def test_each_epoch_sees_every_patch_once_in_another_order(alone, monkeypatch):
    trainer = make_trainer(alone, "--augment=false")
    store = random_store(8)
    seen: list[list[int]] = []
    original = store.batch

    def batch(indices, device):
        seen[-1].extend(indices.tolist())
        return original(indices, device)

    monkeypatch.setattr(store, "batch", batch)
    for epoch in (1, 2):
        seen.append([])
        trainer.train_epoch(epoch, store, lambda steps: None)
    assert sorted(seen[0]) == sorted(seen[1]) == list(range(8))
    assert seen[0] != seen[1]


def test_turns_are_the_eight_positions_and_move_image_and_label_alike():
    labels = torch.arange(16).reshape(1, 1, 4, 4)
    images = labels.expand(1, 9, 4, 4).float().contiguous(memory_format=torch.channels_last)
    positions = set()
    for symmetry in range(8):
        image, label = flip_and_transpose(images, labels, symmetry)
        assert torch.equal(image[:, :1], label.float())
        assert image.is_contiguous(memory_format=torch.channels_last)
        positions.add(json.dumps(label.tolist()))
    assert len(positions) == 8


def test_weight_average_forgets_its_start_and_then_moves_by_its_decay():
    network = torch.nn.Linear(1, 1)
    average = WeightAverage(network, decay=0.5)
    torch.nn.init.constant_(network.weight, 3.0)
    for _ in range(200):
        average.update(network)
    assert average.network.weight.item() == pytest.approx(3.0)
    torch.nn.init.constant_(network.weight, 5.0)
    average.update(network)
    assert average.network.weight.item() == pytest.approx(4.0)
    assert network.weight.item() == 5.0


@pytest.mark.slow
def test_training_is_the_same_from_every_kind_of_store(alone, tmp_path):
    scenes = [write_learnable_scene(tmp_path / product_name(n), n) for n in range(2)]
    plan = StorePlan(scenes, Share(0, 8), 32, torch.float32)
    losses = {}
    for kind in ("device", "host", "mapped"):
        with Staging([plan], kind, CPU, workers=1, scratch=tmp_path) as staging:
            (store,) = staging.fill()
        trainer = make_trainer(alone)
        losses[kind] = [trainer.train_epoch(epoch, store, lambda steps: None) for epoch in (1, 2)]
    assert losses["device"] == losses["host"] == losses["mapped"]


def test_learning_rate_is_halved_when_accuracy_stalls(alone):
    trainer = make_trainer(alone, "--warmup-steps=0", "--patience=2")
    rates = []
    for accuracy in (0.5, 0.6, 0.6, 0.59, 0.7, 0.69, 0.68, 0.67):
        trainer.schedule.record_accuracy(accuracy)
        trainer.step(*trainer.random_batch(1))
        rates.append(trainer.schedule.scale)
    assert rates == pytest.approx([1] * 3 + [0.5] * 3 + [0.25] * 2)
