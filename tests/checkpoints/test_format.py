"""Checkpoints: training goes on to the same numbers, and no file is taken at its word."""

from __future__ import annotations

import json
import os
import pickle
import struct
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from cloudmask.checkpoints import folder as folder_module
from cloudmask.checkpoints.folder import KEPT, CheckpointFolder, newest_first, newest_matching
from cloudmask.checkpoints.format import (
    FORMAT,
    Checkpoint,
    copy_to_host,
    read_checkpoint,
    write_checkpoint,
)
from cloudmask.errors import InputError
from cloudmask.training.warm_up import warm_up
from tests.faults.disks import small_disk
from tests.training.trainers import make_trainer, random_store

PARAMETERS = {"learning_rate": 0.001, "ranks": 1}


def checkpoint_of(epoch: int = 1, **changes: object) -> Checkpoint:
    values = torch.arange(6.0).reshape(2, 3)
    state = {"network": {"w": values * epoch}, "plateau": [0, 0.5, None], "steps": epoch}
    fields = {"runs": ["this"], "epoch": epoch, "seed": 7, "parameters": PARAMETERS}
    return Checkpoint(**{**fields, "state": state, **changes})


def folder_of(path: Path, number: int = 0, run: str = "this") -> CheckpointFolder:
    return CheckpointFolder(path, number, [run], 7, PARAMETERS)


def save_epochs(folder: CheckpointFolder, *epochs: int) -> list[Path]:
    paths = []
    for epoch in epochs:
        folder.record(epoch, checkpoint_of(epoch).state)
        path = folder.save()
        assert path is not None
        paths.append(path)
    return paths


@pytest.mark.parametrize("recipe", ["fast", "reference"])
def test_resumed_training_gives_the_same_losses_and_weights_bit_for_bit(
    alone,
    tmp_path,
    recipe,
):
    store = random_store(8)
    flags = (f"--recipe={recipe}", "--patience=1")

    def train(trainer, *epochs):
        losses = []
        for epoch in epochs:
            losses.append(trainer.train_epoch(epoch, store, lambda steps: None))
            trainer.schedule.record_accuracy(0.5)  # no gain, so that the rate is halved on the way
        return losses

    whole = make_trainer(alone, *flags)
    expected = train(whole, 1, 2, 3, 4)

    first = make_trainer(alone, *flags)
    assert train(first, 1, 2) == expected[:2]
    path = tmp_path / "checkpoint_0_epoch_2.safetensors"
    write_checkpoint(path, checkpoint_of(2, state=first.state()))
    torch.manual_seed(99)
    second = make_trainer(alone, *flags)
    second.load_state(read_checkpoint(path).state)
    warm_up(second)
    assert train(second, 3, 4) == expected[2:]
    assert second.schedule.halvings == whole.schedule.halvings > 0
    for name, tensor in whole.evaluation_model.state_dict().items():
        assert torch.equal(second.evaluation_model.state_dict()[name], tensor), name
    assert second.schedule.scale == whole.schedule.scale


def test_the_state_of_loss_scaling_is_kept(alone):
    trainer = make_trainer(alone)
    trainer.scaler = torch.amp.GradScaler("cpu", init_scale=1024.0, growth_interval=1)
    trainer.step(*random_store(2).batch(torch.arange(2), torch.device("cpu")))
    state, _ = copy_to_host(trainer.state())
    other = make_trainer(alone)
    other.scaler = torch.amp.GradScaler("cpu", init_scale=8.0)
    other.load_state(state)
    assert other.scaler.get_scale() == trainer.scaler.get_scale() == 2048.0


def test_a_recorded_state_is_not_changed_by_later_steps(tmp_path):
    weights = torch.zeros(3)
    folder = folder_of(tmp_path)
    folder.record(1, {"weights": weights})
    weights.add_(1)
    path = folder.save()
    assert torch.equal(read_checkpoint(path).state["weights"], torch.zeros(3))
    assert folder.save() is None  # nothing new


@pytest.mark.parametrize("position", ["in the tensors", "in the plain values", "cut off", "empty"])
def test_a_damaged_checkpoint_is_named_and_passed_over(tmp_path, position):
    older, newest = save_epochs(folder_of(tmp_path), 1, 2)
    content = bytearray(newest.read_bytes())
    if position == "in the tensors":
        content[-3] ^= 1
    elif position == "in the plain values":
        content = content.replace(b'\\"steps\\": 2', b'\\"steps\\": 3')
    else:
        content = content[: 0 if position == "empty" else len(content) // 2]
    assert bytes(content) != newest.read_bytes()
    newest.write_bytes(content)
    reports: list[str] = []
    path, checkpoint = newest_matching(tmp_path, PARAMETERS, None, None, reports.append)
    assert (path, checkpoint.epoch) == (older, 1)
    assert len(reports) == 1
    assert str(newest) in reports[0]


def test_a_file_that_would_execute_code_is_refused_unexecuted(tmp_path):
    class Trap:
        def __reduce__(self):
            return Path.touch, (tmp_path / "executed",)

    path = tmp_path / "checkpoint_0_epoch_1.safetensors"
    path.write_bytes(pickle.dumps(Trap()))
    with pytest.raises(InputError, match="cannot be read"):
        read_checkpoint(path)
    torch.save(Trap(), path)
    with pytest.raises(InputError, match="cannot be read"):
        read_checkpoint(path)
    assert not (tmp_path / "executed").exists()


@pytest.mark.parametrize(
    "content", ["[]", "{}", '{"state": {"tensor": "9"}}', "[" * 100_000, "no JSON"]
)
def test_plain_values_of_another_shape_are_refused(tmp_path, content):
    import hashlib

    path = tmp_path / "checkpoint_0_epoch_1.safetensors"
    metadata = {"format": FORMAT, "content": content}
    metadata["sha256"] = hashlib.sha256(content.encode()).hexdigest()
    save_file({}, path, metadata)
    with pytest.raises(InputError, match="is not a CloudMask checkpoint"):
        read_checkpoint(path)


def test_a_header_that_promises_too_much_is_refused(tmp_path):
    path = tmp_path / "checkpoint_0_epoch_1.safetensors"
    header = json.dumps({"a": {"dtype": "F32", "shape": [2**40], "data_offsets": [0, 2**42]}})
    path.write_bytes(struct.pack("<Q", len(header)) + header.encode())
    with pytest.raises(InputError, match="cannot be read"):
        read_checkpoint(path)


def test_a_tensor_of_another_shape_with_the_same_bytes_is_damage(tmp_path):
    path = tmp_path / "checkpoint.safetensors"
    write_checkpoint(path, checkpoint_of())
    content = path.read_bytes()
    assert content.count(b'"shape":[2,3]') == 1
    path.write_bytes(content.replace(b'"shape":[2,3]', b'"shape":[3,2]'))
    with pytest.raises(InputError, match="is damaged"):
        read_checkpoint(path)


def test_the_newest_two_are_kept_and_those_of_other_runs_are_left_alone(tmp_path):
    (other,) = save_epochs(folder_of(tmp_path, number=1, run="other"), 50)
    paths = save_epochs(folder_of(tmp_path), 1, 2, 3, 10)
    assert newest_first(tmp_path) == [other, *paths[:1:-1]]
    assert len(paths[2:]) == KEPT
    folder_of(tmp_path).clear()
    assert newest_first(tmp_path) == [other]


class BlockedEvent:
    """The event of a copy that a lost or blocked GPU never completes."""

    def __init__(self, error: Exception | None = None) -> None:
        self.error = error

    def query(self) -> bool:
        if self.error:
            raise self.error
        return False


@pytest.mark.parametrize("error", [None, RuntimeError("CUDA error: unspecified launch failure")])
def test_a_copy_that_the_gpu_does_not_complete_leaves_that_of_the_epoch_before(
    tmp_path, monkeypatch, error
):
    monkeypatch.setattr(folder_module, "COPY_TIMEOUT", 0.0)
    folder = folder_of(tmp_path)
    folder.record(1, checkpoint_of(1).state)
    monkeypatch.setattr(
        folder_module, "copy_to_host", lambda state: (copy_to_host(state)[0], BlockedEvent(error))
    )
    folder.record(2, checkpoint_of(2).state)
    path = folder.save()
    assert read_checkpoint(path).epoch == 1


def test_a_save_reads_no_other_checkpoint(tmp_path):
    folder = folder_of(tmp_path)
    (first,) = save_epochs(folder, 1)
    first.unlink()
    os.mkfifo(first)  # to read it would wait for ever
    (second,) = save_epochs(folder, 2)
    assert newest_first(tmp_path) == [second, first]


def test_two_log_folders_can_share_a_folder_of_checkpoints(tmp_path):
    (mine,) = save_epochs(folder_of(tmp_path, number=0, run="a" * 32), 1)
    (theirs,) = save_epochs(folder_of(tmp_path, number=0, run="b" * 32), 1)
    assert mine != theirs
    folder_of(tmp_path, number=0, run="a" * 32).clear()
    assert newest_first(tmp_path) == [theirs]


def test_a_full_disk_keeps_the_checkpoints_that_are_there(tmp_path):
    with small_disk(tmp_path / "disk", "96k") as disk:
        folder = folder_of(disk)
        kept = save_epochs(folder, 1, 2)
        folder.record(3, {"large": torch.zeros(100_000)})
        with pytest.raises(OSError, match="No space left"):
            folder.save()
        assert newest_first(disk) == kept[::-1]
        assert sorted(disk.iterdir()) == kept  # and nothing half written
        assert newest_matching(disk, PARAMETERS, 7, "this", print)[1].epoch == 2


@pytest.mark.parametrize(
    ("parameters", "seed", "message"),
    [
        ({**PARAMETERS, "learning_rate": 0.1}, None, "learning_rate 0.001, this run has 0.1"),
        ({**PARAMETERS, "augment": True}, None, "augment None, this run has True"),
        (PARAMETERS, 8, "seed 7, this run has 8"),
    ],
)
def test_a_checkpoint_of_another_training_is_passed_over(tmp_path, parameters, seed, message):
    save_epochs(folder_of(tmp_path), 1)
    reports: list[str] = []
    assert newest_matching(tmp_path, parameters, seed, None, reports.append) is None
    assert message in reports[0]


def test_a_restart_resumes_its_own_run_not_a_newer_one(tmp_path):
    (own,) = save_epochs(folder_of(tmp_path, number=0, run="this"), 1)
    (newer,) = save_epochs(folder_of(tmp_path, number=1, run="another"), 1)
    reports = []
    for run, expected in (("this", own), ("another", newer), (None, newer)):
        path, _ = newest_matching(tmp_path, PARAMETERS, 7, run, reports.append)
        assert path == expected
    assert reports == []


def test_runs_are_ordered_by_number_not_by_time(tmp_path):
    (later,) = save_epochs(folder_of(tmp_path, number=10), 1)
    (earlier,) = save_epochs(folder_of(tmp_path, number=9), 30)  # written last
    assert newest_first(tmp_path) == [later, earlier]
