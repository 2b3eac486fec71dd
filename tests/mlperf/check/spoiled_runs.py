"""Ways to spoil a run in one place, and the key that must then be named."""

from collections.abc import Callable
from typing import Any

from cloudmask.mlperf.check.command import CheckReport

Spoil = Callable[[Any], object]

# Keys that one line of the log must have, whatever the division.
REQUIRED = [
    "submission_benchmark",
    "submission_org",
    "submission_platform",
    "submission_division",
    "submission_status",
    "submission_version",
    "submission_github_commit_version",
    "number_of_nodes",
    "accelerators_per_node",
    "cache_clear",
    "init_start",
    "init_stop",
    "run_start",
    "run_stop",
    "seed",
    "global_batch_size",
    "gradient_accumulation_steps",
    "max_epochs",
    "patch_size",
    "target_accuracy",
    "positive_weight",
    "dataset",
    "recipe",
    "opt_name",
    "opt_base_learning_rate",
    "opt_learning_rate_warmup_epochs",
    "opt_learning_rate_schedule",
    "opt_weight_decay",
    "precision",
    "store",
    "train_samples",
    "eval_samples",
    "result",
]


def value(key: str, new: Any, occurrence: int = 0) -> Spoil:
    return lambda run: setattr(run.event(key, occurrence), "value", new)


def metadata(key: str, occurrence: int = 0, **new: Any) -> Spoil:
    return lambda run: run.event(key, occurrence).metadata.update(new)


def repeat(key: str) -> Spoil:
    return lambda run: run.insert(run.at(key), run.event(key))


def add(key: str, value: Any) -> Spoil:
    """Among the parameters."""
    return lambda run: run.insert(20, type(run[0])("event", key, value))


def drop(key: str) -> Spoil:
    return lambda run: run.pop(run.at(key))


def move(key: str, before: str) -> Spoil:
    return lambda run: run.move(key, before)


def all_values(key: str, new: Any) -> Spoil:
    return lambda run: [setattr(event, "value", new) for event in run if event.key == key]


def append(key: str, occurrence: int = 0) -> Spoil:
    return lambda run: run.append(run.event(key, occurrence))


def evaluate_twice(run: Any) -> None:
    evaluation = run[run.at("eval_start") : run.at("eval_stop") + 1]
    run[run.at("eval_start") : run.at("eval_start")] = evaluation


# What is spoiled -> the key that must be named, and how.
BREAKAGES: list[tuple[str, str, Spoil]] = [
    ("run_stop", "status is aborted", metadata("run_stop", status="aborted")),
    ("run_stop", "twice", repeat("run_stop")),
    ("run_stop", "inside an epoch", lambda run: run.pop(run.at("epoch_stop", 2))),
    ("run_start", "twice", repeat("run_start")),
    ("run_start", "before init_stop", move("run_start", "init_stop")),
    ("init_stop", "before init_start", move("init_stop", "init_start")),
    ("cache_clear", "after run_start", move("cache_clear", "train_samples")),
    ("cache_clear", "not a truth value", value("cache_clear", "yes")),
    ("staging_start", "outside the run", move("staging_start", "run_start")),
    ("epoch_start", "staging not ended", drop("staging_stop")),
    ("staging_stop", "staging not started", drop("staging_start")),
    ("epoch_start", "out of order", metadata("epoch_start", 1, epoch_num=3)),
    ("epoch_start", "counted from 0", metadata("epoch_start", epoch_num=0)),
    ("epoch_start", "no number", lambda run: run.event("epoch_start").metadata.clear()),
    ("epoch_start", "after run_stop", append("epoch_start")),
    ("eval_start", "before its epoch ended", move("eval_start", "epoch_stop")),
    ("eval_start", "of another epoch", metadata("eval_start", 2, epoch_num=2)),
    ("eval_accuracy", "below the target", all_values("eval_accuracy", 0.899)),
    ("eval_accuracy", "above 1", value("eval_accuracy", 1.2)),
    ("eval_accuracy", "not a number", all_values("eval_accuracy", float("nan"))),
    ("eval_accuracy", "of another epoch", metadata("eval_accuracy", 1, epoch_num=1)),
    ("eval_wbce", "not a number", value("eval_wbce", float("nan"), 2)),
    ("result", "before run_stop", move("result", "run_stop")),
    ("result", "twice", repeat("result")),
    ("result", "not a dictionary", value("result", 0.9)),
    ("result", "no inference accuracy", value("result", {"accuracy": 0.9})),
    ("result", "an interval", lambda run: setattr(run.event("result"), "method", "end")),
    ("resumed", "present", add("resumed", True)),
    ("fault", "at the end", lambda run: run.append(type(run[0])("event", "fault", "rank 1"))),
    ("opt_kernel_learning_rate", "0", add("opt_kernel_learning_rate", 0)),
    ("opt_kernel_momentum", "1", add("opt_kernel_momentum", 1)),
    ("seed", "0", value("seed", 0)),
    ("patch_size", "128", value("patch_size", 128)),
    ("target_accuracy", "lowered", value("target_accuracy", 0.8)),
    ("dataset", "unknown", value("dataset", "mine")),
    ("submission_github_commit_version", "empty", value("submission_github_commit_version", "")),
    ("submission_status", "unknown", value("submission_status", "SciML")),
    ("submission_division", "unknown", value("submission_division", "SciML")),
    ("submission_benchmark", "another", value("submission_benchmark", "deepcam")),
    ("init_start", "after init_stop", move("init_stop", "init_start")),
    ("init_start", "after run_start", append("init_start")),
    ("init_stop", "twice", repeat("init_stop")),
    ("init_stop", "after run_start", append("init_stop")),
    ("staging_start", "twice", repeat("staging_start")),
    ("staging_start", "after an epoch", move("staging_start", "eval_start")),
    ("staging_stop", "after an epoch", move("staging_stop", "eval_start")),
    ("staging_stop", "after run_stop", append("staging_stop")),
    ("run_stop", "before staging ended", drop("staging_stop")),
    ("epoch_start", "before run_start", move("epoch_start", "run_start")),
    ("epoch_start", "before the last one ended", drop("epoch_stop")),
    ("epoch_start", "before its evaluation ended", drop("eval_stop")),
    ("epoch_stop", "of another epoch", metadata("epoch_stop", epoch_num=2)),
    ("epoch_stop", "after run_stop", append("epoch_stop")),
    ("eval_start", "before any epoch", move("eval_start", "epoch_start")),
    ("eval_start", "after run_stop", append("eval_start")),
    ("eval_start", "twice for one epoch", evaluate_twice),
    ("eval_start", "of a later epoch", metadata("eval_start", epoch_num=2)),
    ("eval_stop", "not started", drop("eval_start")),
    ("eval_stop", "of another epoch", metadata("eval_stop", epoch_num=2)),
    ("eval_stop", "after run_stop", append("eval_stop")),
    ("eval_accuracy", "before its evaluation", move("eval_accuracy", "epoch_start")),
    ("eval_accuracy", "after run_stop", append("eval_accuracy", 2)),
    ("eval_wbce", "of another epoch", metadata("eval_wbce", epoch_num=2)),
    ("eval_wbce", "after run_stop", append("eval_wbce", 2)),
    ("run_stop", "before run_start", move("run_stop", "run_start")),
    ("run_stop", "inside an evaluation", lambda run: run.pop(run.at("eval_stop", 2))),
    ("power_measurement_start", "after run_start", move("power_measurement_start", "epoch_start")),
    ("power_measurement_stop", "before run_stop", move("power_measurement_stop", "run_stop")),
    ("power_measurement_stop", "not started", drop("power_measurement_start")),
    ("power_reading", "before run_stop", move("power_reading", "run_stop")),
    ("power_reading", "not started", drop("power_measurement_start")),
    ("power_reading", "negative", value("power_reading", -1.0)),
    ("power_reading", "of another energy", metadata("power_reading", joules=10_000.0)),
    ("power_reading", "over no time", metadata("power_reading", seconds=0.0)),
]

# One value each that the open division does not accept.
BAD_VALUES: dict[str, Any] = {
    "submission_version": " ",
    "number_of_nodes": 0,
    "accelerators_per_node": -1,
    "train_samples": 0,
    "eval_samples": 1.5,
    "global_batch_size": 0,
    "gradient_accumulation_steps": 0,
    "max_epochs": "ten",
    "positive_weight": 0,
    "recipe": "",
    "opt_name": None,
    "opt_adam_beta_1": 1.0,
    "opt_adam_beta_2": -0.1,
    "opt_adam_epsilon": 0,
    "opt_weight_decay": -0.01,
    "opt_base_learning_rate": 0,
    "opt_learning_rate_warmup_epochs": -1,
    "opt_learning_rate_schedule": "",
    "precision": "float8",
    "store": "tape",
    "tracked_stats": 5000.0,
    "power_sensors": ["gpu-0"],
    "utilisation": 80.0,
}

# What only the closed division refuses.
CLOSED_BREAKAGES: list[tuple[str, str, Spoil]] = [
    ("recipe", "fast", value("recipe", "fast")),
    ("opt_name", "adamw", value("opt_name", "adamw")),
    ("opt_base_learning_rate", "0", value("opt_base_learning_rate", 0.0)),
    ("opt_adam_beta_1", "0.8", value("opt_adam_beta_1", 0.8)),
    ("opt_adam_beta_2", "missing", drop("opt_adam_beta_2")),
    ("opt_adam_epsilon", "1e-8", value("opt_adam_epsilon", 1e-8)),
    ("opt_weight_decay", "0.01", value("opt_weight_decay", 0.01)),
    ("opt_kernel_learning_rate", "present", add("opt_kernel_learning_rate", 0.01)),
    ("opt_kernel_momentum", "present", add("opt_kernel_momentum", 0.6)),
    ("dataset", "synthetic", value("dataset", "synthetic")),
    ("train_samples", "too few", value("train_samples", 15487)),
    ("eval_samples", "too many", value("eval_samples", 3881)),
    ("target_accuracy", "raised", value("target_accuracy", 0.95)),
    (
        "submission_github_commit_version",
        "unknown",
        value("submission_github_commit_version", "unknown"),
    ),
]


def named_keys(report: CheckReport) -> set[str | None]:
    """The keys that the violations are about."""
    return {violation.key for violation in report.violations}
