"""Faults of GPUs: a sentence, and the run goes on where it can."""

from __future__ import annotations

from tests.rehearsal.rehearse import FAST


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
