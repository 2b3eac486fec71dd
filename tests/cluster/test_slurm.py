"""`run.sub` under a real Slurm: two nodes, two runs, and the end of the time."""

from __future__ import annotations

import os
import re
import signal
import sys
from pathlib import Path

from cloudmask.mlperf.check.command import check
from cloudmask.mlperf.log.run_summary import read_summary
from tests.cluster.namespaces import PATH
from tests.cluster.small_run import SMALL_RUN
from tests.container.test_scripts import write_program
from tests.runs import ENDLESS, fault, narrow, reason_of, values_of

# What Slurm does by itself two minutes before the end: it signals the script, not its steps.
SIGNAL_OF_SLURM = "scancel --batch --signal=USR1 $SLURM_JOB_ID"


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
        assert len(values_of(log, "system_description")) == 1  # both are this machine
        assert values_of(log, "seed") == [seed]
        assert values_of(log, "global_batch_size") == [2]
        assert values_of(log, "cache_clear") == [os.access("/proc/sys/vm/drop_caches", os.W_OK)]
    assert screen.count("STARTING TIMING RUN AT") == 2  # the first node speaks for both
    assert len(re.findall("^RESULT,CLOUDMASK,", screen, re.MULTILINE)) == 2


def test_tasks_of_srun_train_to_the_target(slurm, two_scenes, tmp_path):
    flags = {"datadir": two_scenes, "logdir": tmp_path, "device": "cpu"}
    done = slurm.call(
        *("srun", "-N", 2, "-n", 4, "--mpi=none", "--kill-on-bad-exit"),
        *(sys.executable, "-m", "cloudmask", "train"),
        *(f"--{name}={value}" for name, value in flags.items()),
        **SMALL_RUN,
        MASTER_ADDR="10.99.8.1",  # the nodes have the name of this machine
    )
    assert done.returncode == 0, done.stderr
    (log,) = tmp_path.glob("result_*.txt")
    assert values_of(log, "number_of_nodes") == [2]
    assert values_of(log, "global_batch_size") == [4]
    assert done.stdout.count("run success") == 1


def test_bad_input_on_every_task_is_printed_once(slurm, two_scenes, tmp_path):
    done = slurm.call(
        *("srun", "-N", 2, "-n", 4, "--mpi=none", sys.executable, "-m", "cloudmask", "train"),
        *(f"--datadir={two_scenes}", f"--logdir={tmp_path}", "--epochs=0"),
        MASTER_ADDR="10.99.8.1",
    )
    assert done.returncode == 2
    assert done.stderr.count("cloudmask train: error: ") == 1, done.stderr


def test_a_killed_task_is_named_in_the_log_before_srun_kills_the_others(
    slurm, two_scenes, tmp_path
):
    kill = fault(rank=1, phase="epoch 2", step=1, signal=signal.SIGKILL)
    done = slurm.call(
        *("srun", "-N", 2, "-n", 2, "--mpi=none", "--kill-on-bad-exit"),
        *(sys.executable, "-m", "cloudmask", "train", *ENDLESS),
        *(f"--datadir={two_scenes}", f"--logdir={tmp_path}"),
        **narrow(kill),
        MASTER_ADDR="10.99.8.1",
    )
    assert done.returncode == 5, done.stderr
    reason = "rank 1 in epoch 2 was killed by SIGKILL"
    assert done.stderr.count(f"cloudmask train: error: {reason}") == 1
    assert reason_of(tmp_path / "result_0.txt") == reason


def test_the_script_is_refused_with_several_tasks_on_a_node(slurm, two_scenes, tmp_path):
    done = slurm.call(
        *("srun", "-N", 1, "-n", 2, "--mpi=none", "./run_and_time.sh"),
        **variables_for(two_scenes, tmp_path),
    )
    assert done.returncode == 2
    assert done.stderr.count("start one task per node (srun --ntasks-per-node=1)") == 1
    assert not list(tmp_path.iterdir())


def test_the_end_of_the_time_comes_while_caches_are_dropped(slurm, two_scenes, tmp_path):
    programs = tmp_path / "bin"
    programs.mkdir()
    write_program(programs / "sync", f"#!/usr/bin/env bash\n{SIGNAL_OF_SLURM}\nexec sleep 600\n")
    output = tmp_path / "output"
    done = slurm.call(
        *("sbatch", "--wait", "-N", 2, "-t", "00:10:00", "-o", output, "run.sub"),
        **{**variables_for(two_scenes, tmp_path), "NEXP": "2"},
        PATH=f"{programs}:{PATH}",
    )
    screen = output.read_text()
    assert done.returncode == 128 + signal.SIGUSR1, screen
    assert "cloudmask: stopped while file caches were being dropped\n" in screen
    assert "run 2 of 2" not in screen
    assert not list(tmp_path.glob("result_*"))


def test_the_end_of_the_time_is_in_the_log(slurm, two_scenes, tmp_path):
    signal_job = f"import os, time; os.system({SIGNAL_OF_SLURM!r})"
    end = fault(phase="epoch 2", step=1, code=f"{signal_job}; time.sleep(600)")
    output = tmp_path / "output"
    done = slurm.call(
        *("sbatch", "--wait", "-N", 2, "-t", "00:10:00", "-o", output, "run.sub"),
        *ENDLESS,
        **{**variables_for(two_scenes, tmp_path), **narrow(end), "NEXP": "2"},
    )
    log = tmp_path / "result_0.txt"
    assert done.returncode == 128 + signal.SIGUSR1, output.read_text()
    assert read_summary(log).status == "aborted"
    assert "stopped by SIGUSR1" in log.read_text()
    assert len(values_of(log, "epoch_start")) == 2
    assert not (tmp_path / "result_1.txt").exists()  # no further run


def test_a_job_of_the_wrong_size_is_refused(slurm, two_scenes, tmp_path):
    output = tmp_path / "output"
    done = slurm.call(
        *("sbatch", "--wait", "-N", 1, "-o", output, "run.sub"),
        **variables_for(two_scenes, tmp_path),
    )
    assert done.returncode == 2
    assert "CPU has 2 nodes but the job has 1: use sbatch -N 2" in output.read_text()
