"""The timed run as its users start it: scripts and ranks in processes of their own.

One run to the target has the whole network; the others train a narrow one.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
from datetime import datetime

import pytest
import torch

from cloudmask.mlperf.check.command import check
from cloudmask.mlperf.log.run_summary import read_summary
from cloudmask.model.unet import UNet
from cloudmask.model.weights import load_weights
from tests.paths import ROOT
from tests.runs import epochs_of_checkpoints, fault, narrow, reason_of, train, values_of

TOO_SLOW_TO_LEARN = ("--learning-rate=1e-9", "--kernel-learning-rate=1e-9")


@pytest.fixture
def german(tmp_path):
    """Variables of a German locale: it writes no AM and PM. Without localedef, there is none."""
    command = ["localedef", "-i", "de_DE", "-f", "UTF-8", tmp_path / "de_DE.UTF-8"]
    made = shutil.which("localedef") and subprocess.run(command).returncode == 0
    return {"LOCPATH": str(tmp_path), "LC_ALL": "de_DE.UTF-8"} if made else {}


def test_run_and_time_reaches_the_target_and_its_log_is_accepted(two_scenes, tmp_path, german):
    variables = {"DATADIR": str(two_scenes), "LOGDIR": str(tmp_path), "SEED": "42", **german}
    done = subprocess.run(
        [ROOT / "run_and_time.sh", "--batch-size=2"],
        cwd=tmp_path,
        env={**os.environ, **variables, "DGXSYSTEM": "CPU"},
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    log = tmp_path / "result_0.txt"
    assert "STARTING TIMING RUN AT" in done.stdout
    assert f"SUCCESS  {log}" in done.stdout
    last = done.stdout.strip().splitlines()[-1]
    assert re.fullmatch(r"RESULT,CLOUDMASK,42,\d+,[^,]+,[^,]+", last)
    started = datetime.strptime(last.split(",")[-1], "%Y-%m-%dT%H:%M:%S%z").timestamp()
    assert 0 <= read_summary(log).started / 1000 - started < 600
    assert log.read_text().strip().splitlines()[-1] == last
    assert int(last.split(",")[3]) >= read_summary(log).time_to_solution
    assert "\r" not in done.stdout  # no progress bar without a terminal

    assert check(log).accepted  # also with the RESULT lines behind the events
    summary = read_summary(log)
    assert summary.final_accuracy >= 0.9
    assert summary.status == "success"
    assert values_of(log, "train_samples") == [20]
    assert values_of(log, "eval_samples") == [20]
    (scores,) = values_of(log, "result")
    assert scores["inference_accuracy"] > 0.8
    assert scores["bayes_accuracy_against_truth"] == 1
    assert 0 < scores["bayes_sst_coverage"] < 1
    kept = load_weights(tmp_path / "weights_0.safetensors").state_dict()
    fresh = UNet().state_dict()
    assert kept.keys() == fresh.keys()
    assert all(not torch.equal(kept[name], fresh[name]) for name in fresh)


@pytest.mark.slow
def test_two_ranks_train_to_the_target_together(two_scenes, tmp_path):
    done = train(
        *("--datadir", two_scenes, "--logdir", tmp_path, "--seed=1"),
        *("--processes-per-node", 2, "--batch-size", 1, "--workers=1"),
        **narrow(widths=(8, 8, 8, 8)),
    )
    assert done.returncode == 0, done.stdout + done.stderr
    log = tmp_path / "result_0.txt"
    assert check(log).accepted
    assert values_of(log, "global_batch_size") == [2]
    assert values_of(log, "train_samples") == [20]
    assert done.stdout.count("CloudMask on") == 1  # rank 0 alone speaks
    assert done.stderr == ""


@pytest.mark.slow
def test_a_missed_target_on_two_ranks_keeps_its_exit_code(two_scenes, tmp_path):
    done = train(
        *("--datadir", two_scenes, "--logdir", tmp_path, *TOO_SLOW_TO_LEARN, "--epochs=1"),
        *("--processes-per-node=2", "--batch-size=2", "--workers=1", "--target-accuracy=1"),
        **narrow(),
    )
    assert done.returncode == 3, done.stdout + done.stderr
    (scores,) = values_of(tmp_path / "result_0.txt", "result")
    assert scores["inference_scenes"] == 1


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_stop_signal_to_the_script_reaches_every_rank(two_scenes, tmp_path, number):
    at_epoch_2 = fault(rank=1, phase="epoch 2", step=1, signal=number, to="script")
    done = subprocess.run(
        [ROOT / "run_and_time.sh", "--processes-per-node=2", "--target-accuracy=1"],
        env={
            **os.environ,
            **narrow(at_epoch_2),
            **{"DGXSYSTEM": "CPU", "DATADIR": str(two_scenes), "LOGDIR": str(tmp_path)},
            **{"CLOUDMASK_BATCH_SIZE": "2", "CLOUDMASK_WORKERS": "1"},
            "SLURM_STEP_ID": "0",  # as in a shell that srun started: the signal is passed on too
        },
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 128 + number, done.stdout + done.stderr
    log = tmp_path / "result_0.txt"
    assert reason_of(log) == f"Stopped: stopped by {number.name}"
    assert epochs_of_checkpoints(log) == [1]
    assert "SUCCESS" not in done.stdout


# Sends a signal to the script as soon as it checks the log, and leaves other processes alone.
SIGNAL_AT_CHECK = """
import os, signal, sys
if sys.orig_argv[1:4] == ["-m", "cloudmask", "check"]:
    os.kill(os.getppid(), signal.SIGTERM)
sys.path.remove(os.path.dirname(__file__))
del sys.modules["sitecustomize"]
import sitecustomize
"""


@pytest.mark.slow
def test_after_a_missed_target_the_log_is_completed_though_the_launcher_ends_all_tasks(
    two_scenes, tmp_path
):
    """As srun --kill-on-bad-exit does when another node was done a moment before this one."""
    (tmp_path / "sitecustomize.py").write_text(SIGNAL_AT_CHECK)
    variables = narrow()
    variables["PYTHONPATH"] = f"{tmp_path}{os.pathsep}{variables['PYTHONPATH']}"
    done = subprocess.run(
        [ROOT / "run_and_time.sh", "--batch-size=2", "--workers=1", "--epochs=1"],
        env={
            **{**os.environ, **variables, "DGXSYSTEM": "CPU"},
            **{"DATADIR": str(two_scenes), "LOGDIR": str(tmp_path / "logs")},
        },
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 3, done.stdout + done.stderr
    assert done.stdout.splitlines()[-1].startswith("RESULT,CLOUDMASK,")


@pytest.mark.slow
def test_without_datadir_a_run_makes_synthetic_scenes_and_says_so(tmp_path):
    folder = tmp_path / "synthetic"
    variables = {
        **{"DGXSYSTEM": "CPU", "SYNTHETIC_DIR": str(folder), "LOGDIR": str(tmp_path)},
        "SYNTHESIZE_FLAGS": "--training-scenes 2 --inference-scenes 1",
    }
    environment = {**os.environ, **narrow(), **variables}
    environment.pop("DATADIR", None)
    done = subprocess.run(
        [ROOT / "run_and_time.sh", "--target-accuracy=0.01", "--workers=1"],
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
    )
    # The rules refuse so low a target, which spares this test the training to a real one.
    assert done.returncode == 1, done.stdout + done.stderr
    lines = done.stdout.splitlines()
    said = "DATADIR is not set: this run uses synthetic scenes, so it shows nothing about DS1"
    assert lines[:2] == [said, f"3 synthetic scenes in {folder}"]
    assert len(list(folder.rglob("S3A_*.hdf"))) == 3
    log = tmp_path / "result_0.txt"
    assert values_of(log, "dataset") == ["synthetic"]
    assert lines[-1].startswith("RESULT,CLOUDMASK,")
    assert read_summary(log).status == "success"


@pytest.mark.slow
def test_dry_run_of_the_headline_system_gives_the_published_counts():
    done = subprocess.run(
        [ROOT / "run_and_time.sh"],
        env={**os.environ, "DGXSYSTEM": "DGX2_2x16", "DRYRUN": "1"},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    assert "32 ranks, 970 training scenes" in done.stdout
    assert "train_samples 15488" in done.stdout
    assert "eval_samples 3840" in done.stdout
    assert len(re.findall(r"^rank +\d+ +train 484 ", done.stdout, re.MULTILINE)) == 32
