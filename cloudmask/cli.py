"""The command `cloudmask`: find the command, parse its arguments, run it, return an exit code."""

from __future__ import annotations

import io
import os
import select
import signal
import sys
from collections.abc import Sequence
from types import FrameType

from cloudmask import __version__
from cloudmask.distributed.launcher import find_part
from cloudmask.errors import (
    EXIT_INPUT,
    EXIT_OK,
    EXIT_SIGNAL,
    STOP_SIGNALS,
    InputError,
    Stopped,
    ignore_stop_signals,
)

SIGPIPE = 13


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns its exit code, one of `cloudmask.errors.EXIT_CODES`."""
    _print_any_text()
    name, *rest = (sys.argv[1:] if arguments is None else arguments) or ["help"]
    try:
        code = _run({"-h": "help", "--help": "help"}.get(name, name), rest)
        sys.stdout.flush()
    except BrokenPipeError:
        if not _reader_is_gone():  # another pipe, or a connection
            raise
        # What is still in the buffer goes nowhere when the interpreter flushes it.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return EXIT_SIGNAL + SIGPIPE
    return code


def _run(name: str, arguments: Sequence[str]) -> int:
    if name == "--version":
        print(f"cloudmask {__version__}")
        return EXIT_OK
    for number in STOP_SIGNALS:
        signal.signal(number, _stop)
    prefix = "cloudmask"
    try:
        from cloudmask import commands

        command = commands.command(name)
        prefix = f"cloudmask {name}"
        options = commands.parser_of(name).parse_arguments(arguments)
        options.command_line = arguments
        return command.run(options)
    except SystemExit as end:  # of --help, which has been printed
        return int(end.code or EXIT_OK)
    except InputError as error:
        # A launcher's variables mean something to `train` alone.
        if name != "train" or _is_first_to_fail(str(error)):
            print(f"{prefix}: error: {error}", file=sys.stderr)
        return EXIT_INPUT
    except ModuleNotFoundError as error:
        if not error.name or error.name.partition(".")[0] == "cloudmask":
            raise
        print(
            f"{prefix}: error: the package {error.name} is not installed for {sys.executable}: "
            "run ./run_and_time.sh once and `source .venv/bin/activate`, or "
            "`pip install -r requirements.txt`",
            file=sys.stderr,
        )
        return EXIT_INPUT
    except Stopped as stop:
        return EXIT_SIGNAL + stop.number


def _is_first_to_fail(problem: str) -> bool:
    """Whether no other process that a launcher started has failed before this one."""
    try:
        part = find_part(nodes=1, processes=1)
    except InputError:
        return True
    if part.is_whole:
        return True
    from cloudmask.distributed.run_store import is_first_to_fail

    return is_first_to_fail(part, EXIT_INPUT, problem)


def _print_any_text() -> None:
    """Let standard output and error take all text: what their encoding lacks becomes an escape.

    Encodings of a locale, such as EUC-JP, lack characters that logs and names of files have; names
    of files can have bytes that are no characters at all.
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # not in notebooks, whose output takes all
            stream.reconfigure(errors="backslashreplace")


def _reader_is_gone() -> bool:
    """Whether nobody reads the standard output any more, as before `| head`."""
    if not hasattr(select, "poll"):  # Windows, which has no such error
        return False
    poll = select.poll()
    poll.register(sys.stdout.fileno(), 0)  # errors are always reported
    return any(event & select.POLLERR for _, event in poll.poll(0))


def _stop(number: int, frame: FrameType | None) -> None:
    # Slurm signals every process, and the supervisor signals its ranks again: only the first
    # signal counts.
    ignore_stop_signals()
    raise Stopped(number)
