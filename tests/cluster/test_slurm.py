"""`run.sub` under a real Slurm: two nodes, two runs, and the end of the time."""

from __future__ import annotations

import os
import re
import time
from pathlib import Path

import pytest

from cloudmask.mlperf.check.command import check
from cloudmask.mlperf.log.run_summary import read_summary
from tests.cluster.conftest import SMALL_RUN
from tests.runs import values_of

pytestmark = pytest.mark.slow


def variables_for(data: Path, logs: Path) -> dict[str, str]:
    """What a user exports before `sbatch`."""
    system = {"DGXSYSTEM": "CPU", "DGXNNODES": "2", "DATADIR": str(data), "LOGDIR": str(logs)}
    return {**SMALL_RUN, **system}


def test_two_nodes_train_to_the_target_in_each_of_two_runs(slurm, two_scenes, tmp_path):
    variables = variables_for(two_scenes, tmp_path)
    output = tmp_path / "output"
    done = slurm.call(
        *("sbatch", "--wait", "-N", 2, "-t", "00:10:00", "-o", output, "run.sub"),
        **{**variables, "NEXP": "2", "SEED": "11"},
    )
    screen = output.read_text()
    assert done.returncode == 0, screen
    logs = [tmp_path / "result_0.txt", tmp_path / "result_1.txt"]
    for log, seed in zip(logs, (11, 12), strict=True):
        assert f"SUCCESS  {log}" in screen
        assert check(log).accepted
        assert values_of(log, "number_of_nodes") == [2]
        assert values_of(log, "seed") == [seed]
        assert values_of(log, "global_batch_size") == [2]
        assert values_of(log, "cache_clear") == [os.access("/proc/sys/vm/drop_caches", os.W_OK)]
    assert screen.count("STARTING TIMING RUN AT") == 2  # the first node speaks for both
    assert len(re.findall("^RESULT,CLOUDMASK,", screen, re.MULTILINE)) == 2


def test_the_end_of_the_time_is_in_the_log(slurm, two_scenes, tmp_path):
    output = tmp_path / "output"
    submitted = slurm.call(
        *("sbatch", "--parsable", "-N", 2, "-t", "00:10:00", "-o", output, "run.sub"),
        *("--target-accuracy=1", "--epochs=1000"),
        **{**variables_for(two_scenes, tmp_path), "NEXP": "2"},
    )
    job = submitted.stdout.strip()
    log = tmp_path / "result_0.txt"
    wait_until(lambda: log.exists() and "epoch_start" in log.read_text())
    # As Slurm does by itself two minutes before the end: to the steps, not to the script.
    slurm.call("scancel", "--signal=USR1", job)
    wait_until(lambda: "COMPLETING" not in state(slurm, job) and "RUNNING" not in state(slurm, job))
    assert "ExitCode=138:0" in state(slurm, job), output.read_text()
    assert read_summary(log).status == "aborted"
    assert "stopped by SIGUSR1" in log.read_text()
    assert not (tmp_path / "result_1.txt").exists()  # no further run


def test_a_job_of_the_wrong_size_is_refused(slurm, two_scenes, tmp_path):
    output = tmp_path / "output"
    done = slurm.call(
        *("sbatch", "--wait", "-N", 1, "-o", output, "run.sub"),
        **variables_for(two_scenes, tmp_path),
    )
    assert done.returncode == 2
    assert "CPU has 2 nodes but the job has 1: use sbatch -N 2" in output.read_text()


def state(slurm, job: str) -> str:
    """What Slurm knows of a job."""
    return slurm.call("scontrol", "show", "job", job).stdout


def wait_until(condition) -> None:
    """Return when the condition holds; fail after three minutes."""
    deadline = time.monotonic() + 180
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.5)
