"""Resuming on request: which checkpoint is used, which is refused, and what the log says of it."""

from __future__ import annotations

import pytest
import torch

from cloudmask.checkpoints.folder import name_of
from cloudmask.checkpoints.format import Checkpoint, write_checkpoint
from cloudmask.distributed.heartbeat import RUN_VARIABLE
from cloudmask.mlperf.log.run_summary import read_summary
from cloudmask.model.weights import load_weights
from cloudmask.timed_run import result
from tests.runs import epochs_of_checkpoints, values_of


@pytest.fixture(autouse=True)
def without_inference(monkeypatch):
    """Runs end with an empty result: what they do before is of interest."""
    monkeypatch.setattr(result, "score_scenes", lambda *arguments: [])


def checkpoint(path, **changes):
    fields = {"runs": ["a"], "epoch": 1, "seed": 3, "parameters": {}, "state": {}, **changes}
    write_checkpoint(path, Checkpoint(**fields))


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("missing.safetensors", "checkpoint {folder}/missing.safetensors cannot be read"),
        ("garbage.safetensors", "checkpoint {folder}/garbage.safetensors cannot be read"),
        ("other.safetensors", "other.safetensors was made with dataset None, this run has custom"),
    ],
)
def test_a_checkpoint_that_cannot_be_used_is_refused_in_one_sentence(
    train_here, small_data, tmp_path, capsys, name, message
):
    (tmp_path / "garbage.safetensors").write_bytes(b"garbage")
    checkpoint(tmp_path / "other.safetensors")
    flags = ("--datadir", small_data, "--logdir", tmp_path / "logs", "--resume", tmp_path / name)
    assert train_here(*flags) == 2
    shown = capsys.readouterr().err
    assert message.format(folder=tmp_path) in shown
    assert len(shown.strip().splitlines()) == 1
    assert not list(tmp_path.rglob("result_*"))


def test_auto_starts_from_epoch_1_where_nothing_matches_and_names_what_it_passed_over(
    train_here, small_data, tmp_path, capsys
):
    checkpoint(tmp_path / "checkpoint_0_a_epoch_1.safetensors")
    (tmp_path / "checkpoint_0_a_epoch_2.safetensors").write_bytes(b"garbage")
    flags = ("--datadir", small_data, "--logdir", tmp_path, "--resume=auto", "--epochs=1")
    assert train_here(*flags, "--target-accuracy=0.01") == 0
    first, second = (
        line for line in capsys.readouterr().out.splitlines() if line.startswith("passed over: ")
    )
    assert "checkpoint_0_a_epoch_2.safetensors cannot be read" in first
    assert "checkpoint_0_a_epoch_1.safetensors was made with dataset None" in second
    log = tmp_path / "result_0.txt"
    assert values_of(log, "resumed") == []
    assert read_summary(log).status == "success"  # one whole run


def test_a_resumed_run_gives_the_weights_of_a_whole_one_but_no_timed_result(
    train_here, small_data, tmp_path, capsys
):
    flags = ("--datadir", small_data, "--seed=5", "--target-accuracy=1", "--checkpoint-epochs=1")
    whole, resumed = tmp_path / "whole", tmp_path / "resumed"
    assert train_here(*flags, "--logdir", whole, "--epochs=2") == 3
    assert train_here(*flags, "--logdir", resumed, "--epochs=1") == 3
    log = resumed / "result_0.txt"
    assert epochs_of_checkpoints(log) == [1]

    # Asked for no more than was done, it is refused; the checkpoint is kept.
    assert train_here(*flags, "--logdir", resumed, "--epochs=1", "--resume=auto") == 2
    assert "is of epoch 1 and epochs is 1: give more epochs" in capsys.readouterr().err

    assert train_here(*flags, "--logdir", resumed, "--epochs=2", "--resume=auto") == 3
    log = resumed / "result_1.txt"
    assert values_of(log, "resumed") == [1]
    assert len(values_of(log, "eval_accuracy")) == 1
    expected = load_weights(whole / "weights_0.safetensors").state_dict()
    weights = load_weights(resumed / "weights_1.safetensors").state_dict()
    assert all(torch.equal(weights[name], expected[name]) for name in expected)
    before = load_weights(resumed / "weights_0.safetensors").state_dict()
    assert any(not torch.equal(weights[name], before[name]) for name in before)


def test_a_resumed_run_that_reaches_the_target_is_aborted_in_its_log(
    train_here, small_data, tmp_path, capsys
):
    flags = ("--datadir", small_data, "--logdir", tmp_path, "--seed=5", "--checkpoint-epochs=1")
    assert train_here(*flags, "--target-accuracy=1", "--epochs=1") == 3
    (left,) = tmp_path.glob("checkpoint_0_*_epoch_1.safetensors")
    resume = ("--resume", left, "--target-accuracy=0.01", "--epochs=2")
    assert train_here(*flags, *resume) == 0
    log = tmp_path / "result_1.txt"
    assert read_summary(log).status == "aborted"
    reason = "target reached, but resumed after epoch 1: no timed result"
    shown = capsys.readouterr().out
    assert f"run aborted: {reason}\n" in shown
    assert f"resumed after epoch 1 from {left}: no timed result\n" in shown
    assert not left.exists()  # a run that reached its target removes the checkpoints behind it


def test_a_checkpoint_that_cannot_be_written_is_reported_and_the_run_continues(
    train_here, small_data, tmp_path, capsys, monkeypatch
):
    folder = tmp_path / "checkpoints"
    monkeypatch.setenv(RUN_VARIABLE, "arun")
    flags = ("--datadir", small_data, "--logdir", tmp_path, "--checkpoint-epochs=1")
    (folder / name_of(0, "arun", 1)).mkdir(parents=True)
    flags = (*flags, "--checkpoint-folder", folder, "--epochs=1", "--target-accuracy=1")
    assert train_here(*flags) == 3
    (failed,) = values_of(tmp_path / "result_0.txt", "checkpoint_failed")
    assert "Is a directory" in failed
    assert f"no checkpoint: {failed}\n" in capsys.readouterr().out
