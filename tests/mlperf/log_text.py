"""A good log as lines of text, and ways to take hold of its events."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

TOKEN = ":::MLLOG "
SOURCE = Path(__file__).with_name("good_log.txt")
PATCH_PIXELS = 256 * 256

Lines = list[str]


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
    return with_record(record)


def with_record(record: dict[str, Any]) -> str:
    """A line with this record."""
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
