"""Other programs on a GPU: the profile of an epoch, and the doctor."""

from __future__ import annotations

import json

from tests.rehearsal.rehearse import FAST


def test_an_epoch_is_profiled(rehearsal, small_data, tmp_path):
    done, _ = rehearsal.cloudmask(
        *("train", *FAST, "--epochs=1", "--profile"),
        *(f"--datadir={small_data}", f"--logdir={tmp_path}"),
    )
    assert done.returncode == 3, done.stdout + done.stderr
    assert json.loads((tmp_path / "trace_0.json").read_text())["traceEvents"]


def test_the_doctor_describes_the_gpu(rehearsal, small_data):
    done, ledger = rehearsal.cloudmask("doctor", f"--datadir={small_data}")
    assert "NVIDIA H200 (stand-in)" in done.stdout, done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    assert ledger.anywhere("forked") == []
