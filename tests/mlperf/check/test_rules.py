"""What the rules of both divisions accept and refuse, in the official engine."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from cloudmask.config import RECIPES
from cloudmask.mlperf.check.command import check
from cloudmask.mlperf.check.ds1 import SCENES, TRAINING_PATCHES, VALIDATION_PATCHES, is_ds1
from cloudmask.mlperf.check.official_tools import RULES
from cloudmask.patches.geometry import split_scenes
from tests.mlperf.check.spoiled_runs import (
    BAD_VALUES,
    BREAKAGES,
    CLOSED_BREAKAGES,
    REQUIRED,
    Spoil,
    drop,
    named_keys,
    repeat,
    value,
)
from tests.mlperf.run_events import complete_run


@pytest.mark.parametrize("division", ["open", "closed"])
def test_a_complete_run_is_accepted(tmp_path: Path, division: str) -> None:
    report = check(complete_run(division).write(tmp_path / "result_0.txt"))
    assert report.accepted, report.output
    assert report.violations == report.warnings == []
    for rules in ("common", f"{division}_common", f"{division}_cloudmask"):
        assert f"Compliance checks: hpc_3.0.0/{rules}.yaml" in report.output


@pytest.mark.parametrize("division", ["open", "closed"])
def test_a_rule_file_works_alone(tmp_path: Path, division: str) -> None:
    path = complete_run(division).write(tmp_path / "result_0.txt")
    command = [sys.executable, "-m", "mlperf_logging.compliance_checker"]
    command += ["--usage", "hpc", "--ruleset", "3.0.0", "--log_output", str(tmp_path / "out.log")]
    command += ["--config", str(RULES / f"{division}_cloudmask.yaml"), str(path)]
    completed = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, check=False)
    assert completed.returncode == 0, completed.stderr
    assert completed.stderr.rstrip().endswith("SUCCESS")


def test_an_open_run_may_use_other_recipes_data_and_optimizers(tmp_path: Path) -> None:
    run = complete_run("open", accuracies=(0.82, 0.96))
    for key, *_, spoil in CLOSED_BREAKAGES:
        if key != "opt_base_learning_rate":
            spoil(run)
    report = check(run.write(tmp_path / "result_0.txt"))
    assert report.accepted, report.output


@pytest.mark.parametrize(
    ("division", "key", "spoil"),
    [
        pytest.param(division, key, spoil, id=f"{division}: {key}: {what}")
        for division, breakages in (("open", BREAKAGES), ("closed", CLOSED_BREAKAGES))
        for key, what, spoil in breakages
    ],
)
def test_a_broken_run_is_refused_by_name(
    tmp_path: Path, division: str, key: str, spoil: Spoil
) -> None:
    run = complete_run(division)
    spoil(run)
    report = check(run.write(tmp_path / "result_0.txt"))
    assert not report.accepted
    assert key in named_keys(report), report.output


def test_every_required_key_is_missed(tmp_path: Path) -> None:
    run = complete_run("open")
    # Without benchmark or division, the engine would not load the rules that ask for the rest.
    kept = {"submission_benchmark", "submission_division"}
    run[:] = [event for event in run if event.key in kept]
    missed = named_keys(check(run.write(tmp_path / "result_0.txt")))
    assert set(REQUIRED) - kept <= missed
    assert {"epoch_start", "epoch_stop", "eval_start", "eval_stop", "eval_accuracy"} <= missed


@pytest.mark.parametrize("key", ["submission_benchmark", "submission_division", "seed"])
def test_one_missing_key_is_the_one_violation(tmp_path: Path, key: str) -> None:
    run = complete_run("open")
    del run[run.at(key)]
    report = check(run.write(tmp_path / "result_0.txt"))
    assert [violation.key for violation in report.violations] == [key]


def test_no_staging_is_accepted(tmp_path: Path) -> None:
    run = complete_run("open")
    del run[run.at("staging_start")], run[run.at("staging_stop")]
    assert check(run.write(tmp_path / "result_0.txt")).accepted


def test_every_bad_value_is_refused_by_name(tmp_path: Path) -> None:
    run = complete_run("open")
    for key, bad in BAD_VALUES.items():
        value(key, bad)(run)
    report = check(run.write(tmp_path / "result_0.txt"))
    assert named_keys(report) == set(BAD_VALUES)


def test_initialisation_of_half_an_hour_is_refused(tmp_path: Path) -> None:
    path = complete_run("open").write(tmp_path / "result_0.txt")
    lines = path.read_text().splitlines()
    for index in range(complete_run("open").at("init_start") + 1):
        record = json.loads(lines[index].removeprefix(":::MLLOG "))
        record["time_ms"] -= 30 * 60 * 1000
        lines[index] = f":::MLLOG {json.dumps(record)}"
    path.write_text("\n".join(lines))
    assert named_keys(check(path)) == {"init_stop"}


def test_a_clock_that_runs_backwards_is_refused(tmp_path: Path) -> None:
    run = complete_run("open")
    path = run.write(tmp_path / "result_0.txt")
    lines = path.read_text().splitlines()
    stop = run.at("run_stop")
    lines[stop] = lines[stop].replace('"time_ms": 1', '"time_ms": 0.1')
    path.write_text("\n".join(lines))
    assert named_keys(check(path)) == {"run_stop"}


def test_a_repeated_value_is_only_a_warning(tmp_path: Path) -> None:
    run = complete_run("open")
    repeat("seed")(run)
    report = check(run.write(tmp_path / "result_0.txt"))
    assert report.accepted
    assert [warning.key for warning in report.warnings] == ["seed"]


def test_both_divisions_share_the_rules_that_do_not_concern_the_recipe() -> None:
    def keys(division: str) -> dict[str, Any]:
        blocks = yaml.safe_load((RULES / f"{division}_cloudmask.yaml").read_text())
        return {(block.get("KEY") or {}).get("NAME", "BEGIN"): block for block in blocks}

    opened, closed = keys("open"), keys("closed")
    assert list(opened) == list(closed)
    assert {key for key in opened if opened[key] != closed[key]} == {
        "BEGIN",
        "submission_github_commit_version",
        "scenes",
        "global_batch_size",
        "train_samples",
        "eval_samples",
        "target_accuracy",
        "dataset",
        "recipe",
        "augment",
        "hole_share",
        "model_eval_ema_factor",
        "positive_weight",
        "opt_base_learning_rate",
        "opt_learning_rate_warmup_epochs",
        "opt_learning_rate_schedule",
        "opt_name",
        "opt_adam_beta_1",
        "opt_adam_beta_2",
        "opt_adam_epsilon",
        "opt_weight_decay",
        "opt_kernel_learning_rate",
        "opt_kernel_momentum",
    }


# The keys of the parameters of the reference recipe, and a value that the trainer refuses.
OTHER_VALUES = {
    "optimizer": ("opt_name", "sgd"),
    "learning_rate": ("opt_base_learning_rate", 0.002),
    "warmup_steps": ("opt_learning_rate_warmup_epochs", 0.1),
    "patience": ("opt_learning_rate_schedule", "halved after 2 epochs without gain"),
    "adam_epsilon": ("opt_adam_epsilon", 1e-8),
    "weight_decay": ("opt_weight_decay", 0.01),
    "positive_weight": ("positive_weight", 0.5),
    "weight_averaging": ("model_eval_ema_factor", 0.98),
    "augment": ("augment", True),
    "hole_share": ("hole_share", 0.25),
}


@pytest.mark.parametrize("parameter", RECIPES["reference"])
def test_a_closed_log_cannot_differ_where_our_trainer_refuses_to(
    tmp_path: Path, parameter: str
) -> None:
    key, other = OTHER_VALUES[parameter]
    for number, spoil in enumerate((value(key, other), drop(key))):
        run = complete_run("closed")
        spoil(run)
        assert named_keys(check(run.write(tmp_path / f"result_{number}.txt"))) == {key}


@pytest.mark.parametrize("first", ["global_batch_size", "train_samples"])
@pytest.mark.parametrize(
    ("training", "validation", "batch", "accepted"),
    [
        (15488, 3840, 64, True),  # of 970 scenes, whole global batches
        (15520, 3880, 64, True),  # all patches
        (15424, 3840, 64, True),  # of 966 scenes
        (15440, 3880, 1024, True),
        (15360, 3072, 1024, True),
        (15488, 3840, 1024, False),
        (15360, 3840, 64, False),
        (15487, 3840, 64, False),
        (15488, 3881, 64, False),
    ],
)
def test_the_counts_are_those_of_a_copy_of_ds1(
    tmp_path: Path, first: str, training: int, validation: int, batch: int, accepted: bool
) -> None:
    assert is_ds1(training, validation, batch) == accepted
    run = complete_run("closed")
    for key, new in (
        ("train_samples", training),
        ("eval_samples", validation),
        ("global_batch_size", batch),
    ):
        value(key, new)(run)
    if first == "train_samples":
        for key in ("train_samples", "eval_samples"):
            run.move(key, "global_batch_size")
    report = check(run.write(tmp_path / "result_0.txt"))
    assert report.accepted == accepted
    assert named_keys(report) <= {"train_samples", "eval_samples", "global_batch_size"}


def test_the_counts_of_scenes_tell_the_copies_of_ds1() -> None:
    for scenes, training, validation in zip(
        SCENES, TRAINING_PATCHES, VALIDATION_PATCHES, strict=True
    ):
        subsets = [20 * len(indices) for indices in split_scenes(scenes)]
        assert subsets == [training, validation]
