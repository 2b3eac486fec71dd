"""A network trained on a GPU is resumed there, masks scenes and is evaluated; a GPU is refused."""

from __future__ import annotations

import pytest

from tests.rehearsal.rehearse import FAST, Ledger
from tests.runs import values_of


def keeps_the_rules(ledger: Ledger) -> bool:
    """Whether CUDA was used, and by no forked process."""
    used = sum(entry.count for entry in ledger.anywhere("launch"))
    return used > 0 and not ledger.anywhere("forked") and not ledger.anywhere("hazard")


@pytest.fixture(scope="module")
def resumed(rehearsal, small_data, tmp_path_factory):
    """The log folder of a run of one epoch, and of its continuation on two GPUs in float16."""
    logdir = tmp_path_factory.mktemp("log")
    flags = (f"--datadir={small_data}", f"--logdir={logdir}", "--processes-per-node=2", "--seed=1")
    for more in (("--epochs=1", "--checkpoint-epochs=1"), ("--epochs=2", "--resume=auto")):
        done, ledger = rehearsal.cloudmask("train", *FAST, *flags, *more, gpus="2", gpu="T4")
        assert done.returncode == 3, done.stdout + done.stderr
        assert keeps_the_rules(ledger)
    return logdir


def test_a_run_is_resumed_where_it_ended(resumed):
    assert len(values_of(resumed / "result_0.txt", "epoch_start")) == 1
    assert len(values_of(resumed / "result_1.txt", "epoch_start")) == 1


def test_scenes_are_masked(rehearsal, small_data, resumed, tmp_path):
    done, ledger = rehearsal.cloudmask(
        *("infer", "--weights", resumed, "--output", tmp_path, "--scenes"),
        small_data / "ssts" / "night",
    )
    assert done.returncode == 0, done.stderr
    assert keeps_the_rules(ledger)
    assert list(tmp_path.iterdir())


def test_masks_are_evaluated(rehearsal, small_data, resumed, tmp_path):
    done, ledger = rehearsal.cloudmask(
        *("evaluate", "--weights", resumed, "--scenes", small_data / "ssts" / "night"),
        *("--training-scenes", small_data / "one-day", "--output", tmp_path),
    )
    assert done.returncode == 0, done.stderr
    assert keeps_the_rules(ledger)


@pytest.mark.parametrize(
    ("stand_ins", "sentence"),
    [
        ({"gpus": "0"}, "device is cuda but torch"),
        ({"gpus": "1", "gpu": "V100"}, "has compute capability 7.0 but this torch"),
    ],
)
def test_no_usable_gpu_is_one_sentence(rehearsal, small_data, tmp_path, stand_ins, sentence):
    done, _ = rehearsal.cloudmask(
        *("train", *FAST, "--device=cuda", f"--datadir={small_data}", f"--logdir={tmp_path}"),
        **stand_ins,
    )
    assert done.returncode == 2
    *_, line = done.stderr.splitlines()
    assert sentence in line
