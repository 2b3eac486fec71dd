"""What can happen to the file of a good log, and whether that breaks a rule.

Each mutation takes the lines of a good log and spoils them somewhere at random. Which rule it
breaks follows from what it does, not from what any checker says: `BREAKING` must be refused,
`HARMLESS` must not.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

TOKEN = ":::MLLOG "
SOURCE = Path(__file__).with_name("good_log.txt")
PATCH_PIXELS = 256 * 256

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
REPEATABLE = ["seed", "dataset", "recipe", "target_accuracy", "opt_name", "batch_norm", "store"]
OPTIONAL = ["batch_norm", "augment", "model_eval_ema_factor", "opt_adam_beta_1", "tracked_stats"]
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

Lines = list[str]
Mutation = Callable[[Random, Lines], Lines | bytes]


def good_log(namespace: str, hours_later: float = 0) -> Lines:
    """The lines of a run that took place, as if it had been at another time, with a run's mark."""
    lines = []
    for line in SOURCE.read_text().splitlines():
        if line.startswith(TOKEN):
            record = json.loads(line.removeprefix(TOKEN))
            record["namespace"] = namespace
            record["time_ms"] += int(hours_later * 3_600_000)
            if record["key"] == "tracked_stats":
                record["value"]["pixels"] = 60 * PATCH_PIXELS
            line = TOKEN + json.dumps(record)
        lines.append(line)
    return lines


def as_bytes(content: Lines | bytes) -> bytes:
    """The file."""
    return content if isinstance(content, bytes) else "".join(f"{x}\n" for x in content).encode()


def record_of(line: str) -> dict[str, Any]:
    record: dict[str, Any] = json.loads(line.partition(TOKEN)[2])
    return record


def events(lines: Lines) -> list[int]:
    """Where the events are."""
    return [index for index, line in enumerate(lines) if TOKEN in line]


def find(lines: Lines, *keys: str) -> list[int]:
    """Where events with one of these keys are."""
    return [index for index in events(lines) if record_of(lines[index])["key"] in keys]


def changed(line: str, change: Callable[[dict[str, Any]], object]) -> str:
    """The line with its record changed."""
    record = record_of(line)
    change(record)
    return TOKEN + json.dumps(record)


def change(rng: Random, lines: Lines, keys: list[str], how: Callable[[dict[str, Any]], object]):
    """Change one of the events with these keys."""
    at = rng.choice(find(lines, *keys))
    return [*lines[:at], changed(lines[at], how), *lines[at + 1 :]]


def shift(lines: Lines, first: int, milliseconds: int) -> Lines:
    """Move the time of every event from one on."""
    return [
        changed(line, lambda record: record.update(time_ms=record["time_ms"] + milliseconds))
        if index >= first and TOKEN in line
        else line
        for index, line in enumerate(lines)
    ]


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


def result_of_another_run(rng: Random, lines: Lines) -> Lines:
    name, benchmark, seed, seconds, *rest = lines[-1].split(",")
    seed, seconds = rng.choice([(str(int(seed) + 1), seconds), (seed, str(int(seconds) // 2))])
    return [*lines[:-1], ",".join([name, benchmark, seed, seconds, *rest])]


def damaged_result(rng: Random, lines: Lines) -> Lines | bytes:
    fields = lines[-1].split(",")
    return rng.choice(
        [
            [*lines, lines[-1]],
            [*lines[:-1], ",".join(fields[:-1])],
            [*lines[:-1], lines[-1].replace("CLOUDMASK", "DEEPCAM")],
            as_bytes(lines)[: -len(fields[-1]) - 1],
        ]
    )


def other_time_to_solution(rng: Random, lines: Lines) -> Lines:
    at = next(i for i, line in enumerate(lines) if line.startswith("time to solution"))
    lines[at] = f"time to solution  {rng.uniform(1, 130):.3f} s"
    return lines


def foreign_byte(rng: Random, lines: Lines) -> bytes:
    at = rng.choice(events(lines))
    before, line = as_bytes(lines[:at]), bytearray(lines[at].encode())
    line[rng.randrange(len(line))] = rng.randint(0x80, 0xFF)
    return before + bytes(line) + b"\n" + as_bytes(lines[at + 1 :])


def zeroed_block(rng: Random, lines: Lines) -> bytes:
    content = bytearray(as_bytes(lines))
    end = content.index(b'"key": "result"')
    start = rng.randrange(end)
    stop = min(end, start + rng.choice([1, 100, 4096]))
    content[start:stop] = bytes(stop - start)
    return bytes(content)


def cut_line(rng: Random, lines: Lines) -> Lines:
    at = rng.choice(events(lines))
    lines[at] = lines[at][: rng.randrange(len(TOKEN), len(lines[at]))]
    return lines


def damaged_token(rng: Random, lines: Lines) -> Lines:
    at = rng.choice(events(lines))
    place = rng.randrange(len(TOKEN))
    lines[at] = lines[at][:place] + "?" + lines[at][place + 1 :]
    return lines


def overlong_line(rng: Random, lines: Lines) -> Lines:
    at = rng.choice(events(lines))
    lines[at] = lines[at].replace('"metadata": {', f'"metadata": {{"more": "{"x" * 200_000}", ')
    return lines


def cut_file(rng: Random, lines: Lines) -> bytes:
    whole = as_bytes(lines[: events(lines)[-1] + 1])
    return whole[: rng.randrange(len(whole) - 1)]


def spliced(rng: Random, lines: Lines) -> Lines:
    """The head of one run and the rest of another, both cut where they are the same."""
    other = good_log("other", hours_later=rng.choice([-2, -0.01, 0, 0.02, 5]))
    at = rng.choice(events(lines)[1:])
    return lines[:at] + other[at:]


def mingled(rng: Random, lines: Lines) -> Lines:
    """An event of another run that was under way at the same time."""
    other = good_log("other")
    at = rng.choice(events(lines))
    return [*lines[:at], other[at], *lines[at:]]


def joined(rng: Random, lines: Lines) -> Lines:
    other = good_log("other", hours_later=rng.choice([-1, 1]))
    return lines + other[: rng.choice(events(other)) + 1]


def other_output(rng: Random, lines: Lines) -> Lines:
    at = rng.randrange(len(lines))
    return [*lines[:at], rng.choice(["", "epoch 1: 50 %", "é", "{}", "RESULTS:"]), *lines[at:]]


def prefixed(rng: Random, lines: Lines) -> Lines:
    at = rng.choice(events(lines))
    lines[at] = f"[0] 12:00:01 {lines[at]}"
    return lines


def no_outcome(rng: Random, lines: Lines) -> Lines:
    return lines[: rng.randrange(events(lines)[-1] + 1, len(lines) + 1)]


def repeat_parameter(rng: Random, lines: Lines) -> Lines:
    at = find(lines, rng.choice(REPEATABLE))[0]
    return [*lines[:at], lines[at], *lines[at:]]


def delete_optional(rng: Random, lines: Lines) -> Lines:
    at = rng.choice(find(lines, rng.choice(OPTIONAL)))
    return lines[:at] + lines[at + 1 :]


def another_day(rng: Random, lines: Lines) -> Lines:
    return shift(lines, 0, rng.randint(-(10**10), 10**10))


def another_seed(rng: Random, lines: Lines) -> Lines:
    old, new = lines[-1].split(",")[2], str(rng.randint(1, 2**31 - 1))
    return [line.replace(old, new) for line in lines]


def unknown_key(rng: Random, lines: Lines) -> Lines:
    at = rng.choice(events(lines))
    line = changed(
        lines[at],
        lambda record: record.update(
            key="site_note", event_type="POINT_IN_TIME", value=rng.choice([None, "a", 1, [], {}])
        ),
    )
    return [*lines[:at], line, *lines[at:]]


def other_spelling(rng: Random, lines: Lines) -> Lines:
    at = rng.choice(events(lines))
    record = record_of(lines[at])
    names = rng.sample(sorted(record), len(record))
    text = json.dumps({name: record[name] for name in names}, separators=(",", ":"))
    lines[at] = TOKEN + text
    return lines


BREAKING: list[Mutation] = [
    *(delete_needed, repeat_once_only, swap, clock_steps_back, one_stamp_too_late, no_time),
    *(stretched_interval, accuracy_out_of_range, share_out_of_range, polished_accuracy),
    *(missed_target_called_success, other_counts, other_pixels, other_rate, other_epoch_number),
    *(no_success, bad_value, other_kind, renamed_key, missing_field, resumed, other_mark),
    *(result_of_another_run, damaged_result, other_time_to_solution, foreign_byte, zeroed_block),
    *(cut_line, damaged_token, overlong_line, cut_file, spliced, mingled, joined),
]
HARMLESS: list[Mutation] = [
    *(other_output, prefixed, no_outcome, repeat_parameter, delete_optional, another_day),
    *(another_seed, unknown_key, other_spelling),
]
