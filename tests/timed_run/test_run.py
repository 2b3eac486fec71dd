"""The timed run: its events, results and exit codes.

Most runs are in this process, where one rank trains a narrow network. One run to the target has the
whole network and is started as users start it.
"""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
from pathlib import Path
from typing import Any

import pytest
import torch

from cloudmask.config import configure
from cloudmask.distributed.heartbeat import Heartbeat
from cloudmask.mlperf.check.command import check
from cloudmask.mlperf.log.events import read_lines
from cloudmask.mlperf.log.run_summary import read_summary
from cloudmask.model.unet import UNet
from cloudmask.model.weights import load_weights
from cloudmask.patches.staging import Staging
from cloudmask.timed_run import clock, result, run
from cloudmask.timed_run.run import timed_run
from cloudmask.training.learning_rate_schedule import LearningRateSchedule
from cloudmask.training.trainer import Trainer
from tests.paths import ROOT
from tests.runs import fault, narrow, train, values_of
from tests.scene_files import product_name

# In the order of the log; power and utilisation are sampled in runs with sensors alone.
SUBMISSION = [
    *("submission_benchmark", "submission_org", "submission_platform", "submission_division"),
    *("submission_status", "submission_version", "submission_github_commit_version"),
    *("number_of_nodes", "accelerators_per_node", "cache_clear"),
]
PARAMETERS = {
    **{"dataset": "custom", "train_samples": 20, "eval_samples": 20, "global_batch_size": 4},
    **{"gradient_accumulation_steps": 1, "seed": 7, "patch_size": 256, "min_sst": 273.15},
    **{"target_accuracy": 1.0, "max_epochs": 2, "recipe": "fast", "augment": True},
    **{"positive_weight": 1.0, "model_eval_ema_factor": 0.98, "opt_name": "muon"},
    **{"opt_base_learning_rate": 1e-9, "opt_kernel_learning_rate": 1e-9},
    **{"opt_kernel_momentum": 0.6, "opt_adam_beta_1": 0.9, "opt_adam_beta_2": 0.999},
    **{"opt_adam_epsilon": 1e-7, "opt_weight_decay": 0.01, "opt_learning_rate_warmup_epochs": 1.0},
    "opt_learning_rate_schedule": "linear warm-up, then halved after 2 epochs without gain",
    **{"precision": "float32", "store": "host"},
}
EPOCH = [
    *("epoch_start", "epoch_stop"),
    *("eval_start", "eval_accuracy", "eval_wbce", "eval_stop", "tracked_stats"),
]
TOO_SLOW_TO_LEARN = ("--learning-rate=1e-9", "--kernel-learning-rate=1e-9")


def records_of(log: Path) -> list[dict[str, Any]]:
    """The events of a log."""
    return [line.record for line in read_lines(log) if line.record is not None]


def reason_of(log: Path) -> str:
    """Why a run was aborted, after its log."""
    (stop,) = (record for record in records_of(log) if record["key"] == "run_stop")
    assert stop["metadata"]["status"] == "aborted"
    reason: str = stop["metadata"]["reason"]
    return reason


@pytest.fixture
def without_inference(monkeypatch):
    """Runs end with an empty result: what they do before is of interest."""
    monkeypatch.setattr(result, "score_scenes", lambda *arguments: [])


def test_run_and_time_reaches_the_target_and_its_log_is_accepted(two_scenes, tmp_path):
    variables = {"DATADIR": str(two_scenes), "LOGDIR": str(tmp_path), "SEED": "42"}
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
    assert re.fullmatch(r"RESULT,CLOUDMASK,42,\d+,[^,]+,\d{4}-\d\d-\d\d \d\d:\d\d:\d\d [AP]M", last)
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


def test_a_missed_target_is_an_aborted_run_with_all_its_events_and_exit_code_3(
    train_here, two_scenes, tmp_path, capsys
):
    flags = ("--epochs=2", "--target-accuracy=1", "--seed=7", "--precision=float32")
    flags = (*flags, "--datadir", two_scenes, "--logdir", tmp_path, *TOO_SLOW_TO_LEARN)
    assert train_here(*flags) == 3
    log = tmp_path / "result_0.txt"
    records = records_of(log)
    assert [record["key"] for record in records] == [
        *SUBMISSION,
        "init_start",
        *PARAMETERS,
        *("configuration", "init_stop", "run_start", "staging_start", "staging_stop"),
        *(*EPOCH, *EPOCH, "run_stop", "result"),
    ]
    values = {record["key"]: record["value"] for record in records}
    assert {key: values[key] for key in PARAMETERS} == PARAMETERS
    assert values["submission_benchmark"] == "cloudmask"
    assert values["accelerators_per_node"] == 0
    assert values["cache_clear"] is False
    assert values["configuration"] == configure(list(map(str, flags))).for_reruns() | {
        "clear_caches": False,
        "sample_seconds": 0.0,
        "workers": 1,
    }
    epochs = [r["metadata"]["epoch_num"] for r in records if r["key"] in EPOCH]
    assert epochs == [1] * len(EPOCH) + [2] * len(EPOCH)
    statistics = values["tracked_stats"]
    assert statistics["accuracy"] == pytest.approx(values["eval_accuracy"], abs=1e-6)
    assert statistics["train_throughput"] > 0
    assert statistics["eval_throughput"] > 0
    accuracy = values["eval_accuracy"]
    reason = f"accuracy {accuracy:.4f} after 2 epochs is below the target 1.0"
    assert reason_of(log) == reason
    assert not check(log).accepted
    scores = values["result"]
    assert scores["inference_scenes"] == 1
    assert scores["seconds_per_scene"] > 0
    assert scores["bayes_accuracy_against_truth"] == 1
    shown = capsys.readouterr().out
    assert "20 training and 20 validation patches of 256 pixels, global batch 4" in shown
    assert f"run aborted: {reason}\n" in shown
    assert re.search(rf"^inference accuracy +{scores['inference_accuracy']}$", shown, re.MULTILINE)


def test_nothing_but_the_clock_lies_between_the_events_and_the_work_that_they_date(
    train_here, without_inference, two_scenes, tmp_path, monkeypatch
):
    log = tmp_path / "result_0.txt"
    calls = []

    def spy(owner, name):
        function = getattr(owner, name)

        def call_and_record(*arguments, **options):
            keys = [record["key"] for record in records_of(log)]
            calls.append((name, keys[-1]))
            return function(*arguments, **options)

        monkeypatch.setattr(owner, name, call_and_record)

    spy(run, "drop_page_cache")
    spy(Staging, "fill")
    spy(run, "save_weights")
    for name in ("warm_up", "train_epoch", "evaluate"):
        spy(Trainer, name)
    accuracies = []
    monkeypatch.setattr(
        LearningRateSchedule, "record_accuracy", lambda _, accuracy: accuracies.append(accuracy)
    )
    flags = ("--epochs=2", "--target-accuracy=1", *TOO_SLOW_TO_LEARN)
    assert train_here("--datadir", two_scenes, "--logdir", tmp_path, *flags) == 3
    assert calls == [
        ("drop_page_cache", "accelerators_per_node"),
        ("warm_up", "configuration"),
        ("fill", "staging_start"),
        *[("train_epoch", "epoch_start"), ("evaluate", "eval_start")] * 2,
        ("save_weights", "run_stop"),
    ]
    assert accuracies == values_of(log, "eval_accuracy")


def test_a_run_in_mapped_memory_is_profiled_and_takes_the_next_number(
    train_here, without_inference, two_scenes, tmp_path
):
    (tmp_path / "result_4.txt").write_text("somebody's\n")
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    flags = ("--store=mapped", "--scratch", scratch, "--profile=true", "--batch-size=2")
    flags = (*flags, "--datadir", two_scenes, "--logdir", tmp_path, "--target-accuracy=0.01")
    assert train_here(*flags) == 0
    assert (tmp_path / "result_4.txt").read_text() == "somebody's\n"
    log = tmp_path / "result_5.txt"
    assert read_summary(log).status == "success"
    assert values_of(log, "store") == ["mapped"]
    assert list(scratch.iterdir()) == []
    assert values_of(log, "profiled") == [True]
    trace = json.loads((tmp_path / "trace_5.json").read_text())
    steps = {event["name"] for event in trace["traceEvents"] if "ProfilerStep" in event["name"]}
    assert steps == {f"ProfilerStep#{step}" for step in range(3, 8)}
    names = {event["name"] for event in trace["traceEvents"]}
    assert any("convolution" in name for name in names)
    assert load_weights(tmp_path / "weights_5.safetensors").arguments["widths"] == [2, 2, 2, 2]


def test_a_loss_that_is_not_a_number_aborts_the_run_with_exit_code_3(
    train_here, without_inference, two_scenes, tmp_path
):
    flags = ("--recipe=reference", "--learning-rate=1e30", "--precision=float32")
    assert train_here("--datadir", two_scenes, "--logdir", tmp_path, *flags) == 3
    log = tmp_path / "result_0.txt"
    assert reason_of(log) == "the training loss of epoch 1 is nan: use a lower learning_rate"
    assert values_of(log, "eval_accuracy") == []


def test_a_jump_of_the_clock_aborts_a_run_that_reached_its_target(
    train_here, without_inference, two_scenes, tmp_path, monkeypatch
):
    offset = clock.clock_offset
    monkeypatch.setattr(clock, "clock_offset", lambda: offset() + 3600)
    flags = ("--datadir", two_scenes, "--logdir", tmp_path, "--target-accuracy=0.01")
    assert train_here(*flags) == 3
    log = tmp_path / "result_0.txt"
    assert reason_of(log).startswith("the system's clock jumped by +3600.0 s during the run")
    assert len(values_of(log, "result")) == 1
    assert (tmp_path / "weights_0.safetensors").is_file()


def signal_at(monkeypatch, phase, number):
    """Send this process a signal when the run enters a phase."""
    enter = Heartbeat.enter

    def enter_and_signal(heartbeat, name):
        enter(heartbeat, name)
        if name == phase:
            os.kill(os.getpid(), number)

    monkeypatch.setattr(Heartbeat, "enter", enter_and_signal)


@pytest.mark.parametrize(("name", "code"), [("SIGTERM", 143), ("SIGUSR1", 138)])
def test_a_stop_signal_aborts_the_run_and_leaves_a_checkpoint(
    train_here, two_scenes, tmp_path, monkeypatch, name, code
):
    signal_at(monkeypatch, "epoch 2", signal.Signals[name])
    flags = ("--datadir", two_scenes, "--logdir", tmp_path, "--target-accuracy=1")
    assert train_here(*flags) == code
    log = tmp_path / "result_0.txt"
    assert reason_of(log) == f"Stopped: stopped by {name}"
    assert values_of(log, "checkpoint") == ["checkpoint_0_epoch_1.safetensors"]
    assert (tmp_path / "checkpoint_0_epoch_1.safetensors").is_file()
    assert values_of(log, "result") == []


@pytest.mark.parametrize("supervised", [False, True])
def test_an_error_is_logged_by_the_rank_that_has_no_supervisor_to_do_so(
    train_here, two_scenes, tmp_path, monkeypatch, supervised
):
    def fail(*arguments):
        raise ZeroDivisionError("in evaluation")

    monkeypatch.setattr(Trainer, "evaluate", fail)
    heartbeat = Heartbeat()
    heartbeat.supervised = supervised
    flags = ("--clear-caches=false", "--sample-seconds=0", "--workers=1")
    config = configure([*flags, f"--datadir={two_scenes}", f"--logdir={tmp_path}"])
    with pytest.raises(ZeroDivisionError):
        timed_run(config, heartbeat)
    log = tmp_path / "result_0.txt"
    if supervised:
        assert [record["key"] for record in records_of(log)][-1] == "eval_start"
    else:
        assert reason_of(log) == "ZeroDivisionError: in evaluation"


def test_bad_scenes_are_skipped_on_request_and_named_in_the_log(
    train_here, without_inference, small_data, tmp_path, capsys
):
    data = tmp_path / "data"
    for path in small_data.rglob("*.hdf"):
        target = data / path.relative_to(small_data)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.symlink_to(path)
    bad = data / "one-day" / product_name(7)
    bad.write_bytes(b"not a scene")
    flags = ("--datadir", data, "--logdir", tmp_path, "--target-accuracy=0.01")
    assert train_here(*flags) == 2
    assert bad.name in capsys.readouterr().err
    assert not (tmp_path / "result_0.txt").exists()
    assert train_here(*flags, "--skip-bad-scenes=true") == 0
    log = tmp_path / "result_0.txt"
    (skipped,) = values_of(log, "skipped_scene")
    assert f"skipped {skipped}\n" in capsys.readouterr().out
    assert skipped.startswith(bad.name)
    assert values_of(log, "train_samples") == [20]


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
def test_bad_input_is_one_sentence_and_exit_code_2(
    train_here, small_data, tmp_path, capsys, flags, message
):
    (tmp_path / "file").touch()
    (tmp_path / "empty").mkdir()
    places = {"file": tmp_path / "file", "empty": tmp_path / "empty"}
    chosen = [flag.format(**places) for flag in flags]
    assert train_here("--datadir", small_data, "--logdir", tmp_path / "logs", *chosen) == 2
    shown = capsys.readouterr()
    assert shown.err.startswith("cloudmask train: error: ")
    assert message in shown.err
    assert len(shown.err.strip().splitlines()) == 1
    assert not list(tmp_path.rglob("result_*.txt"))


def test_a_mapped_store_needs_room_in_its_scratch_folder(train_here, two_scenes, tmp_path, capsys):
    flags = ("--store=mapped", "--scratch", tmp_path / "nowhere")
    assert train_here("--datadir", two_scenes, "--logdir", tmp_path, *flags) == 2
    assert "nowhere" in capsys.readouterr().err


def test_a_dry_run_prints_the_share_of_every_rank_and_takes_a_step(train_here, capsys):
    flags = ("--nodes=2", "--processes-per-node=16", "--batch-size=2", "--patch-size=256")
    assert train_here("--dry-run=true", "--system=X", *flags) == 0
    shown = capsys.readouterr().out
    assert "dry run of X: 2 nodes x 16 processes = 32 ranks, 970 training scenes" in shown
    assert "global batch 64 (2 a rank), 242 steps an epoch" in shown
    assert "train_samples 15488\neval_samples 3840\n" in shown
    shares = re.findall(r"^rank +(\d+)   train (.*)   eval (.*)$", shown, re.MULTILINE)
    assert len(shares) == 32
    assert shares[0] == ("0", "484 (0..483)", "120 (0..119)")
    assert shares[31] == ("31", "484 (15004..15487)", "120 (3720..3839)")
    assert shown.endswith("rank 0 took a step on random numbers\n")


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


@pytest.mark.slow
def test_bad_input_of_a_rank_ends_every_process_with_exit_code_2(tmp_path):
    done = train("--datadir=nowhere", "--logdir", tmp_path, "--processes-per-node=2")
    assert done.returncode == 2, done.stdout + done.stderr
    assert done.stdout == ""
    assert done.stderr.startswith("cloudmask train: error: DATADIR nowhere does not exist")
    assert len(done.stderr.strip().splitlines()) == 1


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
        *("--processes-per-node=2", "--batch-size=2", "--workers=1"),
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
        },
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 128 + number, done.stdout + done.stderr
    log = tmp_path / "result_0.txt"
    assert reason_of(log) == f"Stopped: stopped by {number.name}"
    assert values_of(log, "checkpoint") == ["checkpoint_0_epoch_1.safetensors"]
    assert "SUCCESS" not in done.stdout


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
