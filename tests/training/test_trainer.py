"""The training loop: what a step, an epoch, an evaluation and the warm-up do."""

import copy
import math
from dataclasses import replace

import pytest
import torch
from torch import nn

from cloudmask.model.metrics import metrics_from_counts, pixel_counts
from cloudmask.patches.staging import Staging
from cloudmask.patches.store import Share, StorePlan
from cloudmask.training.augmentation import flip_and_transpose, symmetries_of_square
from tests.scene_files import product_name, write_learnable_scene
from tests.training.trainers import CPU, batch_of, make_trainer, random_store, recorded_steps, train


def set_all(network: nn.Module, value: float) -> None:
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.fill_(value)


@pytest.mark.parametrize("recipe", ["reference", "fast"])
def test_numbers_of_a_step_may_be_tensors_as_in_a_cuda_graph(alone, recipe):
    plain, captured = (
        make_trainer(alone, f"--recipe={recipe}", "--warmup-steps=2") for _ in range(2)
    )

    def step(images, labels):
        """A step as a graph replays it: the same memory holds other numbers."""
        for number, value in zip(numbers, (captured.schedule.scale, weight()), strict=True):
            number.fill_(value)
        captured.schedule.steps += 1
        return captured.step_on_device(images, labels, *numbers)

    def weight():
        return 0.0 if captured.average is None else captured.average.next_weight()

    numbers = torch.zeros(2).unbind()
    batch = batch_of(random_store())
    for _ in range(4):
        torch.testing.assert_close(step(*batch), plain.step(*batch))
    for mine, expected in zip(captured.state().values(), plain.state().values(), strict=True):
        torch.testing.assert_close(mine, expected, rtol=1e-5, atol=1e-7)


def test_training_lowers_the_loss_and_evaluation_notices(alone):
    trainer = make_trainer(alone, "--no-augment", "--weight-averaging=0.5")
    store = random_store(8)
    before = trainer.evaluate(store)
    losses = [train(trainer, store, epoch) for epoch in range(1, 7)]
    after = trainer.evaluate(store)
    assert losses[-1] < 0.8 * losses[0]
    assert after.accuracy > before.accuracy


# --- a step ---


@pytest.mark.parametrize(("weight", "cloudy_loss"), [(1, 1), (2, 2)])
def test_the_loss_weighs_cloudy_pixels(alone, weight, cloudy_loss):
    trainer = make_trainer(alone, f"--positive-weight={weight}")
    set_all(trainer.network, 0.0)  # logits of 0: every pixel costs log 2
    images, labels = batch_of(random_store(2))
    cloudy = float(labels.float().mean())
    expected = math.log(2) * (1 - cloudy + cloudy_loss * cloudy)
    assert float(trainer.step(images, labels)) == pytest.approx(expected)
    set_all(trainer.evaluation_model, 0.0)
    assert trainer.evaluate(random_store(2)).wbce == pytest.approx(expected)


def test_gradients_are_those_of_one_batch_only(alone):
    trainer = make_trainer(alone)
    images, labels = batch_of(random_store(2))
    gradients = []
    for _ in range(2):
        trainer.forward_backward(images, labels)
        gradients.append([each.grad.clone() for each in trainer.network.parameters()])
    torch.testing.assert_close(gradients[1], gradients[0], rtol=1e-3, atol=1e-6)


def test_each_step_takes_the_learning_rate_of_the_schedule_and_is_counted(alone, monkeypatch):
    trainer = make_trainer(alone, "--warmup-steps=3", "--patience=1")
    scales = []
    monkeypatch.setattr(trainer.optimizer, "step", scales.append)
    train(trainer, random_store(10))
    assert scales == [0.25, 0.5, 0.75, 1, 1]
    trainer.schedule.record_accuracy(0.0)
    train(trainer, random_store(2))
    assert scales[5:] == [0.5]


def test_the_loss_scale_is_updated_after_each_step(alone):
    trainer = make_trainer(alone)
    trainer.scaler = torch.amp.GradScaler("cpu", init_scale=1024.0, growth_interval=1)
    train(trainer, random_store(4))
    assert trainer.scaler.get_scale() == 4096


def test_weights_are_averaged_after_each_step_as_the_configuration_says(alone):
    trainer = make_trainer(alone, "--weight-averaging=0.5")
    start = copy.deepcopy(trainer.network.output.weight)
    trainer.step(*batch_of(random_store(2)))
    trained = trainer.network.output.weight
    assert not torch.equal(trained, start)
    averaged = trainer.evaluation_model.output.weight
    torch.testing.assert_close(averaged, start / 13 + trained * 12 / 13)
    assert trainer.average.decay == 0.5
    plain = make_trainer(alone, "--weight-averaging=0")
    assert plain.evaluation_model is plain.network


# --- an epoch ---


def test_the_loss_of_an_epoch_is_the_mean_of_its_steps(alone, monkeypatch):
    trainer = make_trainer(alone)
    steps = recorded_steps(trainer, monkeypatch)
    progress = []
    loss = trainer.train_epoch(1, random_store(6), progress.append)
    losses = [loss for _, _, loss in steps]
    assert progress == [1, 1, 1]
    assert len(set(losses)) == 3
    assert loss == pytest.approx(sum(losses) / 3)


def test_each_epoch_and_rank_sees_its_patches_once_in_an_order_of_its_own(alone, monkeypatch):
    store = random_store(8)
    original = store.batch
    seen = []

    def batch(indices, device):
        seen.append(indices.tolist())
        return original(indices, device)

    def order(epoch, rank=0, seed=5):
        trainer = make_trainer(alone, "--no-augment", f"--seed={seed}")
        trainer.world = replace(alone, rank=rank)
        seen.clear()
        train(trainer, store, epoch)
        assert [len(indices) for indices in seen] == [2, 2, 2, 2]
        return [index for indices in seen for index in indices]

    monkeypatch.setattr(store, "batch", batch)
    orders = [order(1), order(2), order(1, rank=1), order(1, seed=6)]
    assert all(sorted(each) == list(range(8)) for each in orders)
    assert len({tuple(each) for each in orders}) == 4
    assert order(1) == orders[0]


def test_each_patch_of_a_batch_has_a_symmetry_of_its_own_and_its_label_the_same(alone, monkeypatch):
    trainer = make_trainer(alone, "--batch-size=4", "--patch-size=8")
    store = random_store(64, size=8)
    steps = recorded_steps(trainer, monkeypatch)
    train(trainer, store)
    moved = [
        flip_and_transpose(*batch_of(store), each.expand(64, -1))
        for each in symmetries_of_square(8, CPU)
    ]

    def symmetry_of(image, label):
        ((patch, symmetry),) = [
            (patch, symmetry)
            for symmetry, (candidates, _) in enumerate(moved)
            for patch in range(64)
            if torch.equal(candidates[patch], image)
        ]
        assert torch.equal(moved[symmetry][1][patch], label)
        return symmetry

    batches = [list(map(symmetry_of, images, labels)) for images, labels, _ in steps]
    assert {symmetry for batch in batches for symmetry in batch} == set(range(8))
    assert all(len(set(batch)) > 1 for batch in batches)


def test_holes_are_those_drawn_for_the_epoch_in_a_share_of_the_patches(alone, monkeypatch):
    trainer = make_trainer(alone, "--batch-size=2", "--no-augment", "--hole-share=0.5")
    store = random_store(64)
    steps = recorded_steps(trainer, monkeypatch)
    train(trainer, store)
    images, _ = batch_of(store)
    whole = {float(each) for each in images.sum((1, 2, 3))}
    seen = [float(each) for image, *_ in steps for each in image.sum((1, 2, 3))]
    assert 0.3 < len(whole & set(seen)) / len(seen) < 0.7
    torch.testing.assert_close(batch_of(store)[0], images)  # the store itself has no holes


def test_without_augmentation_batches_are_those_of_the_store(alone, monkeypatch):
    trainer = make_trainer(alone, "--no-augment")
    store = random_store(2)
    images, labels = batch_of(store)
    steps = recorded_steps(trainer, monkeypatch)
    train(trainer, store)
    ((image, label, _),) = steps
    assert {float(each) for each in image.sum((1, 2, 3))} == {
        float(each) for each in images.sum((1, 2, 3))
    }
    first = int(not torch.equal(image[0], images[0]))
    assert torch.equal(image[0], images[first])
    assert torch.equal(label[0], labels[first])


@pytest.mark.parametrize("value", [torch.nan, torch.inf])
def test_weights_that_are_no_numbers_show_in_the_loss(alone, value):
    trainer = make_trainer(alone, "--recipe=reference")
    assert train(trainer, random_store(2)) < 10
    with torch.no_grad():
        trainer.network.bottleneck.convolution_b.weight[0, 0, 0, 0] = value
    assert math.isnan(train(trainer, random_store(2), epoch=2))


def test_training_is_the_same_from_every_kind_of_store(alone, tmp_path):
    scene = write_learnable_scene(tmp_path / product_name(1), 1)
    plan = StorePlan([scene], Share(0, 8), 32, torch.float32)
    losses = {}
    for kind in ("device", "host", "mapped"):
        with Staging([plan], kind, CPU, workers=1, scratch=tmp_path) as staging:
            (store,) = staging.fill()
        trainer = make_trainer(alone)
        losses[kind] = [train(trainer, store, epoch) for epoch in (1, 2)]
    assert losses["device"] == losses["host"] == losses["mapped"]


# --- evaluation ---


def test_the_averaged_network_is_evaluated_on_every_patch(alone):
    trainer = make_trainer(alone, "--evaluation-batch-size=4")
    set_all(trainer.network, 1.0)
    set_all(trainer.average.network, 0.0)  # logits of 0: all is called clear, and costs log 2
    store = random_store(6)
    progress = []
    metrics = trainer.evaluate(store, progress.append)
    assert progress == [3, 3]  # not 4 and 2: one shape, one CUDA graph
    assert metrics.pixels == 6 * 32 * 32
    assert metrics.true_positives == metrics.false_positives == 0
    assert metrics.false_negatives == int(store.labels.sum())
    assert metrics.wbce == pytest.approx(math.log(2))


def test_scores_do_not_depend_on_the_size_of_the_batches(alone):
    store = random_store(12)
    one, *others = (
        make_trainer(alone, f"--evaluation-batch-size={size}").evaluate(store).as_dict()
        for size in (1, 5, 8, 100)
    )
    for other in others:
        assert other == pytest.approx(one, abs=2e-6)  # of six digits
        assert other["accuracy"] == one["accuracy"]


def test_counts_that_float32_cannot_hold_are_exact(alone, monkeypatch):
    odd = 2**24 + 1
    counts = torch.tensor([odd, 0, 0, 0, 0], dtype=torch.float64)
    monkeypatch.setattr("cloudmask.training.trainer.pixel_counts", lambda *_: counts)
    trainer = make_trainer(alone, "--evaluation-batch-size=1")
    assert trainer.evaluate(random_store(3)).pixels == 3 * odd


def test_without_averaging_the_trained_network_is_evaluated(alone):
    trainer = make_trainer(alone, "--weight-averaging=0")
    store = random_store(4)
    images, labels = batch_of(store)
    with torch.inference_mode():
        expected = metrics_from_counts(pixel_counts(trainer.network(images), labels))
    assert trainer.evaluate(store).as_dict() == expected.as_dict()


# --- seed, state and warm-up ---


def test_the_seed_decides_the_initial_weights(alone):
    weights = [
        make_trainer(alone, *flags).network.output.weight
        for flags in ((), ("--seed=5",), ("--seed=6",), ("--seed=1234",))
    ]
    without_seed = make_trainer(alone, seed=None).network.output.weight
    assert torch.equal(weights[0], weights[1])
    assert not torch.equal(weights[0], weights[2])
    assert torch.equal(weights[3], without_seed)  # the reference's seed, if none is given


@pytest.mark.parametrize("recipe", ["reference", "fast"])
def test_weights_are_in_channels_last_layout(alone, recipe):
    trainer = make_trainer(alone, f"--recipe={recipe}")
    for module in trainer.network.modules():
        if isinstance(module, nn.Conv2d):
            assert module.weight.is_contiguous(memory_format=torch.channels_last)


def test_the_state_keeps_the_names_that_checkpoints_have(alone):
    trainer = make_trainer(alone)
    assert set(trainer.state()) == {
        *("network", "average", "optimizer", "steps", "scaler", "plateau", "random")
    }
    momenta, moments = trainer.optimizer.state()
    assert set(momenta) == {"momenta"}
    assert set(moments) == {"means", "squares", "steps"}
