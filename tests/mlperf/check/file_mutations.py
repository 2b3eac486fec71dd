"""What can happen to the file of a good log: what breaks it, and what does no harm.

As in `mutations`, which of the two follows from what is done, not from what any checker says.
"""

from __future__ import annotations

import json
from random import Random

from tests.mlperf.check.mutations import Mutation
from tests.mlperf.log_text import (
    TOKEN,
    Lines,
    as_bytes,
    changed,
    events,
    find,
    good_log,
    record_of,
    shift,
)

REPEATABLE = ["seed", "dataset", "recipe", "target_accuracy", "opt_name", "batch_norm", "store"]
OPTIONAL = ["batch_norm", "augment", "model_eval_ema_factor", "opt_adam_beta_1", "tracked_stats"]


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


BREAKING_FILES: list[Mutation] = [
    *(result_of_another_run, damaged_result, other_time_to_solution, foreign_byte, zeroed_block),
    *(cut_line, damaged_token, overlong_line, cut_file, spliced, mingled, joined),
]
HARMLESS: list[Mutation] = [
    *(other_output, prefixed, no_outcome, repeat_parameter, delete_optional, another_day),
    *(another_seed, unknown_key, other_spelling),
]
