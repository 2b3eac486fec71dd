"""The timed run as its users start it: real scenes, real processes, the official checker."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from cloudmask.mlperf.check.command import check
from cloudmask.mlperf.log.run_summary import read_summary
from cloudmask.model.unet import UNet
from cloudmask.model.weights import load_weights
from tests.paths import ROOT
from tests.runs import train, values_of
from tests.scene_files import product_name

pytestmark = pytest.mark.slow
TOO_SLOW_TO_LEARN = ("--epochs=1", "--learning-rate=1e-9", "--kernel-learning-rate=1e-9")


def test_run_and_time_reaches_the_target_and_its_log_is_accepted(learnable_data, tmp_path):
    variables = {"DATADIR": str(learnable_data), "LOGDIR": str(tmp_path), "SEED": "42"}
    done = subprocess.run(
        [ROOT / "run_and_time.sh"],
        cwd=tmp_path,
        env={**os.environ, **variables, "DGXSYSTEM": "CPU"},
        capture_output=True,
        text=True,
        timeout=400,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    log = tmp_path / "result_0.txt"
    assert "STARTING TIMING RUN AT" in done.stdout
    assert f"SUCCESS  {log}" in done.stdout
    last = done.stdout.strip().splitlines()[-1]
    assert re.fullmatch(r"RESULT,CLOUDMASK,42,\d+,[^,]+,\d{4}-\d\d-\d\d \d\d:\d\d:\d\d [AP]M", last)
    assert log.read_text().strip().splitlines()[-1] == last
    assert "\r" not in done.stdout  # no progress bar without a terminal

    assert check(log).accepted  # also with the RESULT lines behind the events
    summary = read_summary(log)
    assert summary.final_accuracy >= 0.9
    assert summary.status == "success"
    assert values_of(log, "train_samples") == [80]
    assert values_of(log, "eval_samples") == [20]
    (result,) = values_of(log, "result")
    assert result["inference_accuracy"] > 0.8
    assert result["bayes_accuracy_against_truth"] == 1
    assert 0 < result["bayes_sst_coverage"] < 1
    assert values_of(log, "min_sst") == [273.15]
    kept = load_weights(tmp_path / "weights_0.safetensors").state_dict()
    fresh = UNet().state_dict()
    assert kept.keys() == fresh.keys()
    assert all(not torch.equal(kept[name], fresh[name]) for name in fresh)


def test_two_ranks_train_to_the_target_together(learnable_data, tmp_path):
    done = train(
        *("--datadir", learnable_data, "--logdir", tmp_path),
        *("--processes-per-node", 2, "--batch-size", 2, "--division=open"),
    )
    assert done.returncode == 0, done.stdout + done.stderr
    log = tmp_path / "result_0.txt"
    assert check(log).accepted
    assert values_of(log, "global_batch_size") == [4]
    assert values_of(log, "train_samples") == [80]
    assert done.stdout.count("CloudMask on") == 1  # rank 0 alone speaks
    assert done.stderr == ""


def test_a_missed_target_is_an_aborted_run_with_exit_code_3(small_data, tmp_path):
    done = train("--datadir", small_data, "--logdir", tmp_path, *TOO_SLOW_TO_LEARN)
    assert done.returncode == 3, done.stdout + done.stderr
    log = tmp_path / "result_0.txt"
    assert read_summary(log).status == "aborted"
    assert not check(log).accepted
    assert len(values_of(log, "result")) == 1  # the scientific question is answered all the same


def test_a_missed_target_on_two_ranks_keeps_its_exit_code(small_data, tmp_path):
    done = train(
        *("--datadir", small_data, "--logdir", tmp_path, *TOO_SLOW_TO_LEARN),
        *("--processes-per-node=2", "--batch-size=2"),
    )
    assert done.returncode == 3, done.stdout + done.stderr
    assert len(values_of(tmp_path / "result_0.txt", "result")) == 1


def test_a_loss_that_is_not_a_number_aborts_the_run(small_data, tmp_path):
    done = train(
        *("--datadir", small_data, "--logdir", tmp_path, "--recipe=reference"),
        *("--learning-rate=1e30", "--precision=float32"),
    )
    assert done.returncode == 3, done.stdout + done.stderr
    assert "learning_rate" in done.stdout
    assert read_summary(tmp_path / "result_0.txt").status == "aborted"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_stop_signal_aborts_the_run_in_its_log(small_data, tmp_path, number):
    process = subprocess.Popen(
        [
            *(sys.executable, "-m", "cloudmask", "train", "--datadir", small_data),
            *("--logdir", tmp_path, "--target-accuracy=1", "--epochs=1000"),
        ],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
    )
    log = tmp_path / "result_0.txt"
    wait_for(log, "epoch_start")
    process.send_signal(number)
    assert process.wait(timeout=60) == 128 + number
    assert read_summary(log).status == "aborted"
    assert signal.Signals(number).name in log.read_text()


def test_existing_results_are_kept_and_the_next_number_taken(small_data, tmp_path):
    (tmp_path / "result_4.txt").write_text("somebody's\n")
    train("--datadir", small_data, "--logdir", tmp_path, "--epochs=1", "--target-accuracy=0.01")
    assert (tmp_path / "result_4.txt").read_text() == "somebody's\n"
    assert read_summary(tmp_path / "result_5.txt").status == "success"


def test_bad_scenes_are_skipped_on_request_and_named_in_the_log(small_data, tmp_path):
    data = tmp_path / "data"
    for path in small_data.rglob("*.hdf"):
        target = data / path.relative_to(small_data)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.symlink_to(path)
    bad = data / "one-day" / product_name(7)
    bad.write_bytes(b"not a scene")
    flags = ("--datadir", data, "--logdir", tmp_path, "--epochs=1", "--target-accuracy=0.01")
    refused = train(*flags)
    assert refused.returncode == 2
    assert bad.name in refused.stderr
    assert not (tmp_path / "result_0.txt").exists()
    done = train(*flags, "--skip-bad-scenes=true")
    assert done.returncode == 0, done.stdout + done.stderr
    log = tmp_path / "result_0.txt"
    (skipped,) = values_of(log, "skipped_scene")
    assert bad.name in skipped
    assert values_of(log, "train_samples") == [20]


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


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--datadir=nowhere"], "DATADIR nowhere does not exist"),
        (["--datadir={empty}"], "holds no training scene"),
        (
            ["--batch-size=64"],
            "20 training patches from 1 scenes do not fill one global batch of 64",
        ),
        (["--logdir={file}/logs"], "LOGDIR is not a folder"),
        (["--logdir=/proc/logs"], "/proc/logs"),
        (["--precision=float16"], "precision is float16"),
        (["--dataset=synthetic"], "dataset is synthetic but"),
    ],
)
def test_bad_input_is_one_sentence_and_exit_code_2(small_data, tmp_path, flags, message):
    (tmp_path / "file").touch()
    (tmp_path / "empty").mkdir()
    places = {"file": tmp_path / "file", "empty": tmp_path / "empty"}
    chosen = [flag.format(**places) for flag in flags]
    done = train("--datadir", small_data, "--logdir", tmp_path / "logs", *chosen)
    assert done.returncode == 2, done.stdout + done.stderr
    assert message in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
    assert not list(tmp_path.rglob("result_*.txt"))


def test_unknown_system_is_refused_with_those_that_exist():
    done = subprocess.run(
        [ROOT / "run_and_time.sh"],
        env={**os.environ, "DGXSYSTEM": "ABACUS"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 2
    assert "ABACUS" in done.stderr
    assert "DGX2_2x16" in done.stderr


def test_a_stop_signal_to_the_script_reaches_every_rank(small_data, tmp_path):
    process = subprocess.Popen(
        [ROOT / "run_and_time.sh", "--processes-per-node=2", "--target-accuracy=1"],
        env={
            **os.environ,
            "DGXSYSTEM": "CPU",
            "DATADIR": str(small_data),
            "LOGDIR": str(tmp_path),
            "CLOUDMASK_BATCH_SIZE": "2",
            "CLOUDMASK_EPOCHS": "1000",
        },
        stdout=subprocess.PIPE,
        text=True,
    )
    log = tmp_path / "result_0.txt"
    wait_for(log, "epoch_start")
    process.send_signal(signal.SIGTERM)
    assert process.wait(timeout=90) == 128 + signal.SIGTERM
    assert read_summary(log).status == "aborted"


def wait_for(log: Path, text: str) -> None:
    """Return when the log has the text; fail after two minutes."""
    deadline = time.monotonic() + 120
    while not (log.exists() and text in log.read_text()):
        assert time.monotonic() < deadline
        time.sleep(0.2)
