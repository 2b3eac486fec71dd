"""Reads the MLLOG lines of a result file, the way the official parser does."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cloudmask.errors import InputError

TOKEN = ":::MLLOG "


@dataclass(frozen=True)
class LogLine:
    """One MLLOG line: its number in the file (from 1), its text, and its record.

    `record` is None where the text is not a JSON object with the fields of an MLLOG line.
    """

    number: int
    text: str
    record: dict[str, Any] | None


def read_lines(path: Path) -> list[LogLine]:
    """All MLLOG lines of the file, in order; lines of other kinds are skipped.

    As in the official parser, the file is read as Latin-1 and whatever stands before the last
    token of a line (a time stamp, a rank) is dropped.

    Raises:
        InputError: the file does not exist, is not a regular file or cannot be read.
    """
    if not path.exists():
        raise InputError(f"{path}: no such log file; give the path of a result_N.txt.")
    if not path.is_file():
        raise InputError(f"{path}: not a regular file; give the path of a result_N.txt.")
    try:
        with path.open(encoding="latin-1") as file:
            numbered = [(number, line) for number, line in enumerate(file, 1) if TOKEN in line]
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror}); make it readable.") from error
    lines = []
    for number, line in numbered:
        text = (TOKEN + line.rpartition(TOKEN)[2]).strip()
        lines.append(LogLine(number, text, _record(text)))
    return lines


def _record(text: str) -> dict[str, Any] | None:
    try:
        record = json.loads(text[len(TOKEN) :])
    except (ValueError, RecursionError):
        return None
    if not isinstance(record, dict) or not {"time_ms", "key", "value", "metadata"} <= set(record):
        return None
    return record
