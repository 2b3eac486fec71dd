"""The timed run: its events, results and exit codes, on one rank in this process."""

from __future__ import annotations

import json
import os
import re
import signal

import pytest
import torch

from cloudmask.config import configure
from cloudmask.distributed.heartbeat import Heartbeat
from cloudmask.machine.system.file_system import file_system_type
from cloudmask.mlperf.check.command import check
from cloudmask.mlperf.log.run_summary import read_summary
from cloudmask.model.card import LIMITS
from cloudmask.model.weights import load_weights, load_weights_and_card
from cloudmask.patches.staging import Staging
from cloudmask.source import source_commit
from cloudmask.timed_run import clock, run
from cloudmask.timed_run.run import timed_run
from cloudmask.training.learning_rate_schedule import LearningRateSchedule
from cloudmask.training.trainer import Trainer
from tests.runs import reason_of, records_of, values_of

# In the order of the log; power and utilisation are sampled in runs with sensors alone.
SUBMISSION = [
    *("submission_benchmark", "submission_org", "submission_platform", "submission_division"),
    *("submission_status", "submission_version", "implementation_version"),
    "submission_github_commit_version",
    *("number_of_nodes", "accelerators_per_node", "system_description", "data_file_system"),
    "cache_clear",
]
PARAMETERS = {
    **{"dataset": "custom", "scenes": {"training": 1, "validation": 1, "inference": 1}},
    **{"train_samples": 20, "eval_samples": 20, "global_batch_size": 4},
    **{"gradient_accumulation_steps": 1, "seed": 7, "patch_size": 256, "min_sst": 273.15},
    **{"target_accuracy": 1.0, "max_epochs": 2, "recipe": "fast", "augment": True},
    **{"hole_share": 0.0},
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
    described = values["system_description"]
    assert described["framework"] == f"PyTorch {torch.__version__}"
    assert all(described.values())
    assert not [field for field in described if field.startswith("accelerator")]
    (event,) = [record for record in records if record["key"] == "system_description"]
    assert event["metadata"]["nodes"] == 1
    assert values["data_file_system"] == file_system_type(two_scenes) != ""
    assert values["configuration"] == configure(list(map(str, flags))).for_reruns() | {
        "clear_caches": False,
        "device": "cpu",
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
    assert list(scores["meaning"]) == [name for name in scores if name != "meaning"]
    assert values["submission_version"] == "mlcommons-cloudmask-v1.1"
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
    spy(run, "warm_up")
    for name in ("train_epoch", "evaluate"):
        spy(Trainer, name)
    accuracies = []
    monkeypatch.setattr(
        LearningRateSchedule, "record_accuracy", lambda _, accuracy: accuracies.append(accuracy)
    )
    flags = ("--epochs=2", "--target-accuracy=1", *TOO_SLOW_TO_LEARN)
    assert train_here("--datadir", two_scenes, "--logdir", tmp_path, *flags) == 3
    assert calls == [
        ("drop_page_cache", "data_file_system"),
        *[(name, "configuration") for name in ("warm_up", "train_epoch", "evaluate")],
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
    flags = ("--store=mapped", "--scratch", scratch, "--profile", "--batch-size=2")
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
    (checkpoint,) = values_of(log, "checkpoint")
    assert re.fullmatch(r"checkpoint_0_\w{8}_epoch_1\.safetensors", checkpoint)
    assert (tmp_path / checkpoint).is_file()
    assert values_of(log, "result") == []


@pytest.mark.parametrize("supervised", [False, True])
def test_an_error_is_logged_by_the_rank_that_has_no_supervisor_to_do_so(
    train_here, two_scenes, tmp_path, monkeypatch, supervised
):
    def fail(trainer, store, progress=None):
        if progress is not None:  # not in the warm-up
            raise ZeroDivisionError("in evaluation")

    monkeypatch.setattr(Trainer, "evaluate", fail)
    heartbeat = Heartbeat()
    heartbeat.supervised = supervised
    flags = ("--no-clear-caches", "--sample-seconds=0", "--workers=1")
    config = configure([*flags, f"--datadir={two_scenes}", f"--logdir={tmp_path}"])
    with pytest.raises(ZeroDivisionError):
        timed_run(config, heartbeat)
    log = tmp_path / "result_0.txt"
    if supervised:
        assert [record["key"] for record in records_of(log)][-1] == "eval_start"
    else:
        assert reason_of(log) == "ZeroDivisionError: in evaluation"


def test_a_dry_run_prints_the_share_of_every_rank_and_takes_a_step(train_here, capsys):
    flags = ("--nodes=2", "--processes-per-node=16", "--batch-size=2", "--patch-size=256")
    assert train_here("--dry-run", "--system=X", *flags) == 0
    shown = capsys.readouterr().out
    assert "dry run of X: 2 nodes x 16 processes = 32 ranks, 970 training scenes" in shown
    assert "global batch 64 (2 a rank), 242 steps an epoch" in shown
    assert "train_samples 15488\neval_samples 3840\n" in shown
    shares = re.findall(r"^rank +(\d+)   train (.*)   eval (.*)$", shown, re.MULTILINE)
    assert len(shares) == 32
    assert shares[0] == ("0", "484 (0..483)", "120 (0..119)")
    assert shares[31] == ("31", "484 (15004..15487)", "120 (3720..3839)")
    assert shown.endswith("rank 0 took a step on a random patch\n")


def test_weights_carry_a_card_with_data_commit_score_and_calibration(
    train_here, without_inference, two_scenes, tmp_path
):
    flags = ("--datadir", two_scenes, "--logdir", tmp_path, "--epochs=1", "--seed=7")
    assert train_here(*flags, "--target-accuracy=1") == 3
    _, card = load_weights_and_card(tmp_path / "weights_0.safetensors")
    (accuracy,) = values_of(tmp_path / "result_0.txt", "eval_accuracy")
    assert card.validation_accuracy == pytest.approx(accuracy, abs=1e-5)
    assert (card.dataset, card.recipe, card.seed, card.epochs) == ("custom", "fast", 7, 1)
    assert card.training_patches == 20
    assert card.commit == source_commit()
    assert 0.1 <= card.temperature <= 10
    assert card.limits == LIMITS
