"""Resuming as it is asked for: which checkpoint is taken, and which request is refused."""

from __future__ import annotations

import pytest

from cloudmask.checkpoints.format import Checkpoint, write_checkpoint
from cloudmask.mlperf.log.run_summary import read_summary
from tests.runs import train, values_of

pytestmark = pytest.mark.slow


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
    small_data,
    tmp_path,
    name,
    message,
):
    (tmp_path / "garbage.safetensors").write_bytes(b"garbage")
    checkpoint(tmp_path / "other.safetensors")
    done = train(
        *("--datadir", small_data, "--logdir", tmp_path / "logs", "--resume", tmp_path / name)
    )
    assert done.returncode == 2, done.stdout + done.stderr
    assert message.format(folder=tmp_path) in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
    assert not list(tmp_path.rglob("result_*"))


def test_auto_begins_anew_where_nothing_fits_and_names_what_it_passed_over(
    small_data,
    tmp_path,
):
    checkpoint(tmp_path / "checkpoint_0_epoch_1.safetensors")
    (tmp_path / "checkpoint_0_epoch_2.safetensors").write_bytes(b"garbage")
    done = train(
        *("--datadir", small_data, "--logdir", tmp_path, "--resume=auto"),
        *("--epochs=1", "--target-accuracy=0.01"),
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "passed over: checkpoint" in done.stdout
    assert "checkpoint_0_epoch_2.safetensors cannot be read" in done.stdout
    log = tmp_path / "result_0.txt"
    assert values_of(log, "resumed") == []
    assert read_summary(log).status == "success"  # one whole run


def test_a_checkpoint_of_the_last_epoch_asks_for_more_epochs(
    small_data,
    tmp_path,
):
    flags = ("--datadir", small_data, "--logdir", tmp_path, "--epochs=1", "--target-accuracy=1")
    assert train(*flags, "--checkpoint-epochs=1").returncode == 3
    refused = train(*flags, "--resume=auto")
    assert refused.returncode == 2, refused.stdout + refused.stderr
    assert "is of epoch 1 and epochs is 1: give more epochs" in refused.stderr
