"""Faults of GPUs: a sentence, and the run goes on where it can."""

from __future__ import annotations

import os
import re
import subprocess
import sys

from tests.distributed.ports import reserved_port
from tests.paths import ROOT
from tests.rehearsal.rehearse import FAST
from tests.runs import epochs_of_checkpoints, reason_of, values_of


def train(rehearsal, data, logdir, *flags, **stand_ins):
    done, _ = rehearsal.cloudmask(
        *("train", *FAST, "--epochs=3", "--seed=1", f"--datadir={data}", f"--logdir={logdir}"),
        *flags,
        **stand_ins,
    )
    return done


def test_where_no_memory_can_be_pinned_the_run_says_so_and_goes_on(rehearsal, small_data, tmp_path):
    done = train(rehearsal, small_data, tmp_path, "--epochs=1", no_pinning="1")
    assert done.returncode == 3, done.stderr
    assert "the system refuses to lock pages (cudaHostRegister)" in done.stdout
    assert done.stderr == ""


def test_too_little_memory_of_the_gpu_is_one_sentence(rehearsal, small_data, tmp_path):
    done = train(rehearsal, small_data, tmp_path, "--store=host", memory="0.51")
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert "the memory of the GPU is too small (CUDA out of memory. Tried to allocate" in line


def test_a_gpu_lost_in_epoch_2_is_named_and_the_checkpoint_of_epoch_1_stays(
    rehearsal, small_data, tmp_path
):
    done = train(rehearsal, small_data, tmp_path, "--checkpoint-epochs=1", lost_in="epoch 2")
    assert done.returncode == 5
    # torch's watchdog of NCCL has printed its own error before.
    assert "Traceback" not in done.stderr
    *_, line = done.stderr.splitlines()
    sentence = r"rank 0 in epoch 2: GPU 0 of \S+ failed \(CUDA error: unspecified launch failure\)"
    assert re.search(sentence, line)
    assert re.match(sentence, reason_of(tmp_path / "result_0.txt"))
    log = tmp_path / "result_0.txt"
    assert epochs_of_checkpoints(log) == [1]
    assert [path.name for path in tmp_path.glob("checkpoint_*")] == values_of(log, "checkpoint")


def test_two_tasks_on_the_only_gpu_are_refused_in_one_sentence(rehearsal, small_data, tmp_path):
    flags = (*FAST, f"--datadir={small_data}", f"--logdir={tmp_path}")
    with reserved_port() as port:
        tasks = [
            subprocess.Popen(
                [sys.executable, "-m", "cloudmask", "train", *flags],
                cwd=ROOT,
                env={
                    **os.environ,
                    **rehearsal.variables(gpus="1"),
                    **{f"OMPI_COMM_WORLD_{name}": "2" for name in ("SIZE", "LOCAL_SIZE")},
                    **{f"OMPI_COMM_WORLD_{name}": rank for name in ("RANK", "LOCAL_RANK")},
                    "MASTER_PORT": str(port),
                },
                stderr=subprocess.PIPE,
                text=True,
            )
            for rank in "01"
        ]
        errors = [task.communicate(timeout=300)[1] for task in tasks]
    assert [task.returncode for task in tasks] == [2, 2], errors
    (line,) = "".join(errors).splitlines()
    assert "2 tasks but 1 GPU: start one task per GPU (srun --gpus-per-task=1)" in line
    assert not list(tmp_path.iterdir())
