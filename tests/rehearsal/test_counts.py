"""What a run asks of a GPU: waits of the host, kernels, first launches; counted, not timed."""

from __future__ import annotations

import pytest

from tests.rehearsal.rehearse import FAST, Ledger

STEPS = {1: 10, 2: 5}  # of an epoch of 20 patches, two a rank and step
# Launches of a step: what they were when this was written, so that they can only fall.
BUDGETS = {"bfloat16": 351, "float16": 434}
# A wait for the loss, and two for the order of patches in device memory.
WAITS_OF_AN_EPOCH = 3
WAITS_OF_AN_EVALUATION = 2
# The checkpoint's state, recorded between evaluation and epoch, has the loss scale and its age.
WAITS_FOR_THE_SCALER = 2


@pytest.fixture(scope="module", params=["bfloat16", "float16"])
def run(request, rehearsal, small_data, tmp_path_factory) -> tuple[Ledger, int, str]:
    """A run of three epochs: bfloat16 on one GPU, or float16 on two, its patches on the host."""
    dtype = request.param
    ranks = 1 if dtype == "bfloat16" else 2
    done, ledger = rehearsal.cloudmask(
        *("train", *FAST, "--epochs=3", "--seed=1", f"--datadir={small_data}"),
        *(f"--logdir={tmp_path_factory.mktemp('log')}", f"--processes-per-node={ranks}"),
        f"--store={'device' if ranks == 1 else 'host'}",
        gpus=str(ranks),
        gpu="H200" if dtype == "bfloat16" else "T4",
    )
    assert done.returncode == 3, done.stdout + done.stderr
    return ledger, ranks, dtype


def test_nothing_is_launched_for_the_first_time_under_the_clock(run):
    ledger, _, _ = run
    warmed = set(ledger.of("launch", "start"))
    for phase in ("staging", "epoch 1", "evaluation 1", "epoch 2", "evaluation 2"):
        assert set(ledger.of("launch", phase)) <= warmed, phase


def test_the_host_waits_for_no_step(run):
    ledger, ranks, _ = run
    scaler = WAITS_FOR_THE_SCALER if ranks == 2 else 0
    for epoch in (1, 2, 3):
        places = ledger.of("place", f"epoch {epoch}")
        assert sum(places.values()) <= WAITS_OF_AN_EPOCH, places
    for epoch in (1, 2):
        places = ledger.of("place", f"evaluation {epoch}")
        assert sum(places.values()) <= WAITS_OF_AN_EVALUATION + scaler, places


def test_memory_is_allocated_before_the_clock(run):
    ledger, _, _ = run
    for phase in ("epoch 1", "evaluation 1", "epoch 2", "evaluation 2"):
        assert not ledger.of("allocate", phase), phase


def test_launches_of_a_step_are_within_the_budget(run):
    ledger, ranks, dtype = run
    launches = ledger.of("launch", "epoch 2")
    assert sum(launches.values()) <= BUDGETS[dtype] * STEPS[ranks], launches.most_common(20)
