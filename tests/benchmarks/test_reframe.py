"""The ReFrame test, run by ReFrame itself."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.paths import ROOT
from tests.runs import narrow, narrow_to_target

FILE = ROOT / "benchmarks" / "reframe" / "cloudmask.py"


def reframe(folder: Path, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """ReFrame with its generic system, in a folder of its own."""
    program = Path(sys.executable).with_name("reframe")
    return subprocess.run(
        [program, "-c", str(FILE), "--prefix", str(folder), *arguments],
        cwd=folder,
        env={**os.environ, **variables, "RFM_SYSTEM": "generic"},
        capture_output=True,
        text=True,
        timeout=900,
    )


@pytest.mark.slow
def test_it_runs_the_benchmark_and_reads_its_result(two_scenes: Path, tmp_path: Path) -> None:
    settings = {"system": "CPU", "datadir": str(two_scenes), "logdir": str(tmp_path / "logs")}
    chosen = [f"--setvar=CloudMask.{name}={value}" for name, value in settings.items()]
    report = tmp_path / "report.json"
    done = reframe(tmp_path, "-r", *chosen, "--report-file", str(report), **narrow_to_target())
    assert done.returncode == 0, done.stdout + done.stderr
    assert (tmp_path / "logs" / "result_0.txt").exists()
    (case,) = json.loads(report.read_text())["runs"][0]["testcases"]
    figures = {name.rpartition(":")[2]: value for name, value in case["perfvalues"].items()}
    assert set(figures) == {"time_to_solution", "end_to_end", "epochs", "validation_accuracy"}
    assert figures["validation_accuracy"][0] >= 0.9
    assert 0 < figures["time_to_solution"][0] <= figures["end_to_end"][0]


@pytest.mark.slow
def test_a_run_that_misses_the_target_is_a_failure(two_scenes: Path, tmp_path: Path) -> None:
    flags = "--epochs=1 --batch-size=2 --target-accuracy=1"
    chosen = ["--setvar=CloudMask.system=CPU", f"--setvar=CloudMask.datadir={two_scenes}"]
    done = reframe(tmp_path, "-r", *chosen, f"--setvar=CloudMask.flags={flags}", **narrow())
    assert done.returncode != 0
    assert "FAILED" in done.stdout
