"""Writes the MLPerf event log of one run, and names its file."""

import logging
import math
import os
import re
import secrets
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from mlperf_logging.mllog.mllog import MLLogger

from cloudmask.errors import InputError
from cloudmask.mlperf.log.lines import read_lines
from cloudmask.source import SOURCE_ROOT

# Frames between MLLogger's own method and the code that called RunLog: MLLogger's default is 1
# (its direct caller), plus `RunLog._write` and the public method.
_STACK_OFFSET = 3

_RESULT_NAME = re.compile(r"result_([0-9]+)\.txt")


class RunLog:
    """Writes the MLPerf events of one run to a file and flushes each line.

    `RunLog(None)` writes nothing: every rank has a log, but only that of rank 0 has a file. An
    existing file is appended to. Nothing is written to standard output.

    Values can be None, bool, int, float, str, lists, tuples and dictionaries of these, and NumPy
    scalars and arrays. JSON has no NaN and no infinity; they are logged as the strings 'nan',
    'inf' and '-inf'.

    Raises:
        InputError: the file cannot be opened.
        TypeError: a value has no JSON type.
        ValueError: an event after `close`.
        OSError: a line could not be written, as on a full disk.
    """

    def __init__(self, path: Path | None) -> None:
        """Open the log at `path`; None writes nothing."""
        self.path = path
        self._closed = False
        self._handler: _StrictFileHandler | None = None
        if path is None:
            return
        try:
            self._handler = _StrictFileHandler(path, mode="a", encoding="utf-8")
        except OSError as error:
            raise InputError(
                f"{path}: the log cannot be written ({error.strerror}); choose another LOGDIR."
            ) from error
        # Not from getLogger: a logger of its own has no parent and no other handlers.
        logger = logging.Logger("cloudmask.mlperf")
        logger.addHandler(self._handler)
        # One namespace for each run, the same when a log is continued: `check` then finds lines of
        # two runs in one file.
        self._mllogger = MLLogger(
            logger=logger,
            default_namespace=_namespace(path) or secrets.token_hex(4),
            default_stack_offset=_STACK_OFFSET,
        )

    def start(self, key: str, value: Any = None, **metadata: Any) -> None:
        """Log the start of an interval, e.g. `start('epoch_start', epoch_num=1)`."""
        self._write("start", key, value, metadata)

    def end(self, key: str, value: Any = None, **metadata: Any) -> None:
        """Log the end of an interval, e.g. `end('run_stop', status='success')`."""
        self._write("end", key, value, metadata)

    def event(self, key: str, value: Any = None, **metadata: Any) -> None:
        """Log a point in time, e.g. `event('eval_accuracy', 0.91, epoch_num=1)`."""
        self._write("event", key, value, metadata)

    def close(self) -> None:
        """Close the file; a second call does nothing."""
        self._closed = True
        if self._handler is not None:
            self._handler.close()

    def __enter__(self) -> "RunLog":
        """The log itself."""
        return self

    def __exit__(self, *error: object) -> None:
        """Close the file."""
        self.close()

    def _write(self, method: str, key: str, value: Any, metadata: dict[str, Any]) -> None:
        # Converted on all ranks, so that a value that cannot be logged fails on all of them.
        plain_value = _json_value(key, value)
        plain_metadata = {name: _json_value(key, item) for name, item in metadata.items()}
        if self._closed:
            raise ValueError(f"'{key}' was logged after the log was closed")
        if self._handler is None:
            return
        self._mllogger.root_dir = _trimmed_folder(sys._getframe(2).f_code.co_filename)
        write: Callable[..., None] = getattr(self._mllogger, method)
        write(key, plain_value, metadata=plain_metadata)


def reserve_result_path(logdir: Path) -> Path:
    """Create the next `result_N.txt` in `logdir`, empty, and return its path.

    N is one more than the highest number present, from 0. The file is created exclusively, so two
    runs that start at the same time get two numbers. `logdir` and its parents are created.

    Raises:
        InputError: `logdir` is not a folder, or no file can be created in it.
    """
    try:
        logdir.mkdir(parents=True, exist_ok=True)
        matches = (_RESULT_NAME.fullmatch(entry.name) for entry in logdir.iterdir())
        number = max((int(match[1]) + 1 for match in matches if match), default=0)
        while True:
            path = logdir / f"result_{number}.txt"
            try:
                os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o644))
            except FileExistsError:
                number += 1
            else:
                return path
    except (FileExistsError, NotADirectoryError) as error:
        raise InputError(
            f"{logdir}: LOGDIR is not a folder; choose a folder or remove the file in its way."
        ) from error
    except OSError as error:
        raise InputError(
            f"{logdir}: no log can be written there ({error.strerror}); "
            "choose a LOGDIR that is writable."
        ) from error


def companion_path(log: Path, kind: str, suffix: str) -> Path:
    """The path of another file of the run, e.g. weights_3.safetensors for result_3.txt."""
    return log.with_name(log.stem.replace("result", kind) + suffix)


def _namespace(path: Path) -> str:
    """The namespace of the lines already in the file; '' if there is none."""
    records = (line.record for line in read_lines(path)) if path.is_file() else ()
    return next((str(record.get("namespace", "")) for record in records if record), "")


class _StrictFileHandler(logging.FileHandler):
    """Raises errors of writing, which logging.FileHandler only prints."""

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 (logging's name)
        raise


def _trimmed_folder(filename: str) -> str | None:
    """The prefix that MLLogger removes from the caller's file name, as a regular expression.

    It is the source root, or the folder of a file outside of it, so that no machine's path is
    logged.
    """
    root = f"{SOURCE_ROOT}/"
    folder = str(SOURCE_ROOT) if filename.startswith(root) else os.path.dirname(filename)
    return re.escape(folder.rstrip("/")) if filename.startswith("/") else None


def _json_value(key: str, value: Any) -> Any:
    """The value in JSON types, with non-finite numbers as strings."""
    if isinstance(value, np.generic | np.ndarray):
        value = value.tolist()
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else str(value)
    if isinstance(value, list | tuple):
        return [_json_value(key, item) for item in value]
    if isinstance(value, dict):
        return {str(name): _json_value(key, item) for name, item in value.items()}
    raise TypeError(f"'{key}' cannot be logged: {type(value).__name__} is not a JSON type")
