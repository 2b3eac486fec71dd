"""`train` and the other programs run through on one and two GPUs, in both 16-bit types."""

from __future__ import annotations

import pytest

from tests.rehearsal.rehearse import FAST, Ledger
from tests.runs import reason_of

TWO_EPOCHS = (*FAST, "--epochs=2", "--seed=1")
GPUS = {"float16": "T4", "bfloat16": "H200"}


def trained(rehearsal, data, logdir, *flags, **stand_ins) -> Ledger:
    done, ledger = rehearsal.cloudmask(
        "train", *TWO_EPOCHS, f"--datadir={data}", f"--logdir={logdir}", *flags, **stand_ins
    )
    assert done.returncode == 3, done.stdout + done.stderr  # nothing is computed: the target missed
    assert "below the target" in reason_of(logdir / "result_0.txt")
    assert done.stderr == ""
    return ledger


@pytest.mark.parametrize(
    ("ranks", "dtype", "store"),
    [
        (1, "float16", "host"),
        (1, "bfloat16", "mapped"),
        (2, "float16", "device"),
        (2, "bfloat16", "host"),
    ],
)
def test_a_run_goes_through_on_one_context_a_rank(
    rehearsal, small_data, tmp_path, ranks, dtype, store
):
    ledger = trained(
        *(rehearsal, small_data, tmp_path / "log"),
        *(f"--processes-per-node={ranks}", f"--store={store}", f"--scratch={tmp_path}"),
        *(f"--precision={dtype}",),
        gpus=str(ranks),
        gpu=GPUS[dtype],
    )
    contexts = {(each.rank, each.detail): each.count for each in ledger.anywhere("context")}
    assert contexts == {(str(rank), str(rank)): 1 for rank in range(ranks)}
    assert ledger.anywhere("forked") == []
    assert ledger.anywhere("hazard") == []
