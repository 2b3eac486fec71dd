"""What a run asks of a GPU: waits of the host, kernels, first launches; counted, not timed."""

from __future__ import annotations

from collections import Counter

import pytest

from tests.rehearsal.rehearse import FAST, Ledger

STEPS = {1: 10, 2: 5}  # of an epoch of 20 patches, two a rank and step
# Launches of a step as a CUDA graph, and of an epoch beside its steps.
STEP_BUDGET, EPOCH_BUDGET = 15, 20
# An evaluation: its batches, and what is beside them.
BATCHES = {1: 4, 2: 2}  # of 5 patches
BATCH_BUDGET, EVALUATION_BUDGET = 10, 6
# Kernels of a step in float16, which are launched one by one without graphs, by part of their name:
# what they were when this was written, so that they can only fall.
KERNELS = {
    "cuDNN": 53,  # convolutions
    "cublas": 45,  # Muon
    "multi_tensor": 10,  # one for many parameters
    "copy_kernel": 75,
    "CatArray": 18,
    "reduce_kernel": 18,
    "max_pool": 6,
    "nccl": 2,
    "memset": 6,
    "": 195,  # all others
}
# A wait for the loss, and two for the order of patches in device memory.
WAITS_OF_AN_EPOCH = 3
WAITS_OF_AN_EVALUATION = 2
# The checkpoint's state, recorded between evaluation and epoch, has the loss scale and its age.
WAITS_FOR_THE_SCALER = 2


def three_epochs(rehearsal, data, logdir, ranks, gpu, *flags, **stand_ins) -> tuple[Ledger, str]:
    """A run of three epochs: its ledger, and what it prints."""
    done, ledger = rehearsal.cloudmask(
        *("train", *FAST, "--epochs=3", "--seed=1", f"--datadir={data}", f"--logdir={logdir}"),
        *(f"--processes-per-node={ranks}", f"--store={'device' if ranks == 1 else 'host'}"),
        *flags,
        gpus=str(ranks),
        gpu=gpu,
        **stand_ins,
    )
    assert done.returncode == 3, done.stdout + done.stderr
    assert ledger.anywhere("hazard") == []
    return ledger, done.stdout


def by_part(launches: Counter[str]) -> Counter[str]:
    """Launches by the part of their name that is in KERNELS."""
    kernels = Counter[str]()
    for name, count in launches.items():
        kernels[next(part for part in KERNELS if part in name)] += count
    return kernels


@pytest.fixture(scope="module", params=["bfloat16", "float16"])
def run(request, rehearsal, small_data, tmp_path_factory) -> tuple[Ledger, int]:
    """A run in bfloat16 on one GPU, or in float16 on two with its patches on the host; ranks."""
    ranks, gpu = (1, "H200") if request.param == "bfloat16" else (2, "T4")
    logdir = tmp_path_factory.mktemp("log")
    return three_epochs(rehearsal, small_data, logdir, ranks, gpu)[0], ranks


def test_nothing_is_launched_for_the_first_time_under_the_clock(run):
    ledger, _ = run
    warmed = set(ledger.of("launch", "start"))
    for phase in ("staging", "epoch 1", "evaluation 1", "epoch 2", "evaluation 2"):
        assert set(ledger.of("launch", phase)) <= warmed, phase


def test_the_host_waits_for_no_step(run):
    ledger, ranks = run
    scaler = WAITS_FOR_THE_SCALER if ranks == 2 else 0
    for epoch in (1, 2, 3):
        places = ledger.of("place", f"epoch {epoch}")
        assert sum(places.values()) <= WAITS_OF_AN_EPOCH, places
    for epoch in (1, 2):
        places = ledger.of("place", f"evaluation {epoch}")
        assert sum(places.values()) <= WAITS_OF_AN_EVALUATION + scaler, places


def test_memory_is_allocated_before_the_clock(run):
    ledger, _ = run
    for phase in ("epoch 1", "evaluation 1", "epoch 2", "evaluation 2"):
        assert not ledger.of("allocate", phase), phase


def test_steps_and_evaluations_are_launched_as_graphs_within_the_budget(run):
    ledger, ranks = run
    launches = ledger.of("launch", "epoch 2")
    assert launches["graph"] == STEPS[ranks]
    assert sum(launches.values()) <= STEP_BUDGET * STEPS[ranks] + EPOCH_BUDGET, launches
    launches = ledger.of("launch", "evaluation 2")
    assert launches["graph"] == BATCHES[ranks] + 1  # and one for the network that is evaluated
    assert sum(launches.values()) <= BATCH_BUDGET * BATCHES[ranks] + EVALUATION_BUDGET, launches
    assert ledger.anywhere("refused in capture") == []


def test_where_nothing_can_be_captured_kernels_are_launched_one_by_one_and_the_run_says_so(
    rehearsal, small_data, tmp_path
):
    ledger, printed = three_epochs(rehearsal, small_data, tmp_path, 2, "T4", no_capture="1")
    sentence = "training and evaluation launch their kernels one by one, which is slower: no CUDA"
    assert printed.count(sentence) == 1
    launches = ledger.of("launch", "epoch 2")
    assert not launches["graph"]
    assert set(launches) <= set(ledger.of("launch", "start"))
    kernels = by_part(launches)
    over = {part: count for part, count in kernels.items() if count > KERNELS[part] * STEPS[2]}
    assert over == {}


def test_convolutions_that_cudnn_fuses_need_no_kernels_for_bias_sum_and_relu(
    rehearsal, small_data, tmp_path
):
    ledger, _ = three_epochs(
        rehearsal, small_data, tmp_path, 2, "T4", "--cudnn-fusion=true", no_capture="1"
    )
    kernels = by_part(ledger.of("launch", "epoch 2"))
    assert 0 < kernels["cuDNN"] <= KERNELS["cuDNN"] * STEPS[2]
    # Of 14 convolutions each has a bias and a ReLU, and 3 have a sum.
    assert kernels[""] <= (KERNELS[""] - 31) * STEPS[2]
