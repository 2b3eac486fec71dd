"""Reads the lines of a log as the official parser does, in bounded memory."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cloudmask.errors import InputError

TOKEN = ":::MLLOG "
# Bytes. The official checker holds several copies of a file in memory. The log of 200 epochs has
# 0.5 MB; 16 MiB are more than 5000 epochs.
LARGEST_LOG = 16 * 2**20
LONGEST_LINE = 128 * 2**10  # characters; lines of this program have less than 2000
FIELDS = {"time_ms", "key", "value", "metadata"}
_UNPACK = "unpack it first, and give the text file"
# The first bytes of files that hold a log in another form, what they are, and the remedy.
_OTHER_FORMATS = {
    b"\x1f\x8b": f"compressed by gzip: {_UNPACK}",
    b"BZh": f"compressed by bzip2: {_UNPACK}",
    b"\xfd7zXZ": f"compressed by xz: {_UNPACK}",
    b"\x28\xb5\x2f\xfd": f"compressed by zstd: {_UNPACK}",
    b"PK\x03\x04": f"a zip archive: {_UNPACK}",
}
_UTF_16 = "UTF-16 text, and a log is UTF-8: convert it, as by iconv -f UTF-16 -t UTF-8"


@dataclass(frozen=True)
class FileLine:
    """One line of a file."""

    number: int  # from 1
    text: str  # decoded as Latin-1, one character per byte, without the line end
    cut: bool = False  # whether the text was cut after `LONGEST_LINE` characters
    ended: bool = True  # False for a last line without a line end


@dataclass(frozen=True)
class LogLine:
    """One MLLOG line."""

    number: int  # of the line in the file, from 1
    text: str  # from the MLLOG token on
    record: dict[str, Any] | None  # None if the text is not a JSON object with the `FIELDS`


def read_lines(path: Path) -> list[LogLine]:
    """All MLLOG lines of the file, in order; other lines are skipped.

    Raises:
        InputError: the file does not exist, is not a regular file, cannot be read, or is larger
            than `LARGEST_LOG`, or compressed or in another encoding.
    """
    if require_file(path) > LARGEST_LOG:
        raise InputError(f"{path}: {too_large(path.stat().st_size)}; give the log of one run.")
    if problem := other_format(path):
        raise InputError(f"{path}: {problem}.")
    return [line for file_line in file_lines(path) if (line := log_line(file_line))]


def require_file(path: Path) -> int:
    """The size in bytes of a readable log file.

    Raises:
        InputError: the file does not exist, is not a regular file or cannot be read.
    """
    if not path.exists():
        raise InputError(f"{path}: no such log file; give the path of a result_N.txt.")
    if not path.is_file():
        raise InputError(f"{path}: not a regular file; give the path of a result_N.txt.")
    try:
        with path.open("rb"):
            return path.stat().st_size
    except OSError as error:
        raise _unreadable(path, error) from error


def other_format(path: Path) -> str | None:
    """What a file is that holds no plain text, and the remedy; None if it may be a log.

    Raises:
        InputError: the file cannot be read.
    """
    try:
        with path.open("rb") as file:
            head = file.read(64)
    except OSError as error:
        raise _unreadable(path, error) from error
    for magic, problem in _OTHER_FORMATS.items():
        if head.startswith(magic):
            return f"the file is {problem}"
    # UTF-16 with its mark, or ASCII characters each beside a zero byte.
    marked = head.startswith((b"\xff\xfe", b"\xfe\xff"))
    ascii_only = len(head) > 1 and (not any(head[1::2]) or not any(head[::2])) and any(head)
    return f"the file is {_UTF_16}" if marked or ascii_only else None


def too_large(size: int) -> str:
    """The message for a file of so many bytes."""
    return (
        f"the file has {size / 1e6:.1f} MB, more than the {LARGEST_LOG / 1e6:.1f} MB "
        "that the log of a run can have"
    )


def file_lines(path: Path) -> Iterator[FileLine]:
    """Every line of the file, in order, with at most `LONGEST_LINE` characters in memory.

    As in the official parser, the file is decoded as Latin-1.

    Raises:
        InputError: the file cannot be read.
    """
    try:
        with path.open(encoding="latin-1") as file:
            number = 0
            while piece := file.readline(LONGEST_LINE):
                number += 1
                text, rest = piece, piece
                while not rest.endswith("\n") and len(rest) == LONGEST_LINE:
                    rest = file.readline(LONGEST_LINE)
                ended = rest.endswith("\n")
                yield FileLine(number, text.rstrip("\n"), cut=rest is not piece, ended=ended)
    except OSError as error:
        raise _unreadable(path, error) from error


def log_line(line: FileLine) -> LogLine | None:
    """The MLLOG line in a line of the file; None if there is none.

    As in the official parser, text before the last token of a line (a time stamp, a rank) is
    ignored.
    """
    if TOKEN not in line.text:
        return None
    text = (TOKEN + line.text.rpartition(TOKEN)[2]).strip()
    return LogLine(line.number, text, _record(text))


def _record(text: str) -> dict[str, Any] | None:
    try:
        record = json.loads(text[len(TOKEN) :])
    except (ValueError, RecursionError):
        return None
    if not isinstance(record, dict) or not set(record) >= FIELDS:
        return None
    return record


def _unreadable(path: Path, error: OSError) -> InputError:
    return InputError(f"{path}: cannot be read ({error.strerror}); make it readable.")
