"""Other programs on a GPU: the profile of an epoch, and the doctor."""

from __future__ import annotations

import json
import os
import subprocess
import sys

from tests.paths import ROOT
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


def test_the_survey_of_a_gpu_measures_all_its_parts(rehearsal, small_data, tmp_path):
    short = {"BATCHES": "8", "REPETITIONS": "1", "STAGED_SCENES": "1", "EPOCHS": "1"}
    places = {"OUT": str(tmp_path), "PYTHON": sys.executable, "DATADIR": str(small_data)}
    done = subprocess.run(
        [ROOT / "benchmarks" / "gpu_survey.sh"],
        env={**os.environ, **rehearsal.variables(), **short, **places, "LIMIT_FACTOR": "10"},
        capture_output=True,
        text=True,
        timeout=540,
    )
    assert done.returncode == 0, done.stderr
    survey = (tmp_path / "survey.txt").read_text()
    for part, code in (("steps", 0), ("stages", 0), ("run", 3)):  # nothing learns here
        assert f"== {part}: exit code {code} after " in survey, survey
    steps = [json.loads(line) for line in (tmp_path / "steps.jsonl").read_text().splitlines()]
    ways = [(step["cuda_graph"], step["cudnn_fusion"]) for step in steps]
    assert ways == [(True, False), (True, True), (False, False)] * 3
    assert [step["refused"] for step in steps] == [""] * 9
    assert {path.name for path in tmp_path.iterdir()} == {
        *("machine.txt", "survey.txt", "steps.jsonl", "kernels.txt"),
        *("stages.json", "stages.txt", "result_0.txt"),
    }
