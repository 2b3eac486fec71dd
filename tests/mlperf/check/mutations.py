"""What can happen to the events of a good log so that it breaks a rule.

Each mutation takes the lines of a good log and spoils them somewhere at random. That it breaks a
rule follows from what it does, not from what any checker says.
"""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import Any

from tests.mlperf.log_text import (
    PATCH_PIXELS,
    Lines,
    change,
    changed,
    events,
    find,
    record_of,
    shift,
)

# Lines of the run without which it is not whole.
NEEDED = [
    *("submission_benchmark", "submission_org", "submission_platform", "submission_division"),
    *("submission_status", "submission_version", "submission_github_commit_version"),
    *("number_of_nodes", "accelerators_per_node", "cache_clear", "dataset", "recipe", "precision"),
    *("train_samples", "eval_samples", "global_batch_size", "seed", "patch_size", "store"),
    *("target_accuracy", "max_epochs", "opt_name", "opt_base_learning_rate", "positive_weight"),
    *("init_start", "init_stop", "run_start", "run_stop", "staging_start", "staging_stop"),
    *("epoch_start", "epoch_stop", "eval_start", "eval_stop", "eval_accuracy", "eval_wbce"),
    "result",
]
ONCE_IN_ORDER = [
    *("init_stop", "run_start", "run_stop", "staging_start", "staging_stop", "result"),
    *("epoch_start", "epoch_stop", "eval_start", "eval_stop", "eval_accuracy", "eval_wbce"),
    "tracked_stats",
]
BAD_VALUES: dict[str, list[Any]] = {
    "submission_benchmark": ["deepcam", "", None, 3],
    "submission_division": ["SciML", "../open", ""],
    "submission_status": ["unknown", None],
    "train_samples": [0, -180, "180", None, 180.5],
    "eval_samples": [0, "sixty"],
    "seed": [0, -3, 1.5, None],
    "patch_size": [128, 512, None],
    "target_accuracy": [0.85, 1.5, "high"],
    "cache_clear": ["yes", None],
    "dataset": ["DS1", None],
    "precision": ["float8"],
    "max_epochs": [0, 2, None],
    "opt_base_learning_rate": [0, -0.1],
    "result": [None, 0.9, {}, {"inference_accuracy": 1.2}],
}

Mutation = Callable[[Random, Lines], Lines | bytes]


def delete_needed(rng: Random, lines: Lines) -> Lines:
    at = rng.choice(find(lines, rng.choice(NEEDED)))
    return lines[:at] + lines[at + 1 :]


def repeat_once_only(rng: Random, lines: Lines) -> Lines:
    at = rng.choice(find(lines, rng.choice(ONCE_IN_ORDER)))
    return [*lines[:at], lines[at], *lines[at:]]


def swap(rng: Random, lines: Lines) -> Lines:
    first, second = 0, 0
    while record_of(lines[first])["time_ms"] == record_of(lines[second])["time_ms"]:
        first, second = rng.sample(events(lines), 2)
    lines[first], lines[second] = lines[second], lines[first]
    return lines


def clock_steps_back(rng: Random, lines: Lines) -> Lines:
    at = rng.choice(events(lines)[1:])
    gap = record_of(lines[at])["time_ms"] - record_of(lines[at - 1])["time_ms"]
    return shift(lines, at, -gap - rng.randint(1, 10**7))


def one_stamp_too_late(rng: Random, lines: Lines) -> Lines:
    at = rng.choice(events(lines)[:-1])
    gap = record_of(lines[at + 1])["time_ms"] - record_of(lines[at])["time_ms"]
    new = record_of(lines[at])["time_ms"] + gap + rng.randint(1, 10**9)
    lines[at] = changed(lines[at], lambda record: record.update(time_ms=new))
    return lines


def no_time(rng: Random, lines: Lines) -> Lines:
    bad = rng.choice(["1795392134383", None, True, -1, 0, [], "soon", float("nan")])
    at = rng.choice(events(lines))
    lines[at] = changed(lines[at], lambda record: record.update(time_ms=bad))
    return lines


def stretched_interval(rng: Random, lines: Lines) -> Lines:
    """Minutes more between the start and the end of an epoch or an evaluation."""
    at = rng.choice(find(lines, "epoch_stop", "eval_stop"))
    return shift(lines[: find(lines, "result")[0] + 1], at, rng.randint(60_000, 10**7))


def accuracy_out_of_range(rng: Random, lines: Lines) -> Lines:
    bad = rng.choice([-0.1, 1.0001, 90.1, 1e300])
    return change(rng, lines, ["eval_accuracy"], lambda record: record.update(value=bad))


def share_out_of_range(rng: Random, lines: Lines) -> Lines:
    name, bad = rng.choice(["precision", "recall", "f1"]), rng.choice([-0.01, 1.01, 95])
    return change(rng, lines, ["tracked_stats"], lambda record: record["value"].update({name: bad}))


def polished_accuracy(rng: Random, lines: Lines) -> Lines:
    gain = rng.uniform(1e-5, 0.05)
    return change(
        rng,
        lines,
        ["eval_accuracy", "eval_wbce"],
        lambda record: record.update(value=record["value"] + gain),
    )


def missed_target_called_success(rng: Random, lines: Lines) -> Lines:
    target = rng.uniform(0.901, 1)
    return change(rng, lines, ["target_accuracy"], lambda record: record.update(value=target))


def other_counts(rng: Random, lines: Lines) -> Lines:
    factor = rng.choice([0.5, 1.5, 2, 10])
    return change(
        rng,
        lines,
        ["train_samples", "eval_samples"],
        lambda record: record.update(value=int(record["value"] * factor)),
    )


def other_pixels(rng: Random, lines: Lines) -> Lines:
    patches = rng.choice([59, 61, 30, 120])
    return change(
        rng,
        lines,
        ["tracked_stats"],
        lambda record: record["value"].update(pixels=patches * PATCH_PIXELS),
    )


def other_rate(rng: Random, lines: Lines) -> Lines:
    name, factor = rng.choice(["train_throughput", "eval_throughput"]), rng.choice([0.5, 3, 0, -1])
    return change(
        rng,
        lines,
        ["tracked_stats"],
        lambda record: record["value"].update({name: record["value"][name] * factor}),
    )


def other_epoch_number(rng: Random, lines: Lines) -> Lines:
    keys = ["epoch_start", "epoch_stop", "eval_start", "eval_stop", "eval_accuracy", "eval_wbce"]
    step = rng.choice([-3, -1, 1, 2, 0.5])
    return change(
        rng,
        lines,
        keys,
        lambda record: record["metadata"].update(epoch_num=record["metadata"]["epoch_num"] + step),
    )


def no_success(rng: Random, lines: Lines) -> Lines:
    status = rng.choice(["aborted", "SUCCESS", "", None, True])
    return change(rng, lines, ["run_stop"], lambda record: record["metadata"].update(status=status))


def bad_value(rng: Random, lines: Lines) -> Lines:
    key = rng.choice(list(BAD_VALUES))
    bad = rng.choice(BAD_VALUES[key])
    return change(rng, lines, [key], lambda record: record.update(value=bad))


def other_kind(rng: Random, lines: Lines) -> Lines:
    kinds = {"INTERVAL_START", "INTERVAL_END", "POINT_IN_TIME", "", None}
    at = rng.choice(events(lines))
    others = sorted(kinds - {record_of(lines[at])["event_type"]}, key=str)
    kind = rng.choice(others)
    lines[at] = changed(lines[at], lambda record: record.update(event_type=kind))
    return lines


def renamed_key(rng: Random, lines: Lines) -> Lines:
    at = rng.choice(find(lines, rng.choice(NEEDED)))
    new = rng.choice(["", None, 7, "renamed"])
    lines[at] = changed(lines[at], lambda record: record.update(key=new))
    return lines


def missing_field(rng: Random, lines: Lines) -> Lines:
    field = rng.choice(["time_ms", "key", "value", "metadata", "event_type"])
    at = rng.choice(events(lines))
    lines[at] = changed(lines[at], lambda record: record.pop(field))
    return lines


def resumed(rng: Random, lines: Lines) -> Lines:
    at = rng.choice(events(lines))
    line = changed(
        lines[at],
        lambda record: record.update(key="resumed", event_type="POINT_IN_TIME", value=True),
    )
    return [*lines[:at], line, *lines[at:]]


def other_mark(rng: Random, lines: Lines) -> Lines:
    mark = rng.choice(["", "ffffffff", None])
    at = rng.choice(events(lines))
    lines[at] = changed(lines[at], lambda record: record.update(namespace=mark))
    return lines


BREAKING_EVENTS: list[Mutation] = [
    *(delete_needed, repeat_once_only, swap, clock_steps_back, one_stamp_too_late, no_time),
    *(stretched_interval, accuracy_out_of_range, share_out_of_range, polished_accuracy),
    *(missed_target_called_success, other_counts, other_pixels, other_rate, other_epoch_number),
    *(no_success, bad_value, other_kind, renamed_key, missing_field, resumed, other_mark),
]
