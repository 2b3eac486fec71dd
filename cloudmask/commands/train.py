"""`cloudmask train`: a timed run, or a dry run of its configuration."""

from __future__ import annotations

import argparse
import sys

from cloudmask import config
from cloudmask.errors import EXIT_OK, InputError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The parameters of a run."""
    config.add_arguments(parser)


def require_linux(what: str) -> None:
    """Refuse what needs the kernel of Linux.

    Raises:
        InputError: this is another system.
    """
    if not sys.platform.startswith("linux"):
        raise InputError(
            f"{what} needs Linux, and this is {sys.platform}: use a Linux machine or the container "
            "(check, summarize, report, evaluate and infer work here)"
        )


def run(options: argparse.Namespace) -> int:
    """Run, dry run, or print the configuration."""
    values = config.from_options(options)
    if options.print_config:
        print(values.as_yaml(), end="")
        return EXIT_OK
    if values.dry_run:
        from cloudmask.timed_run.dry_run import dry_run

        return dry_run(values)
    require_linux("a timed run")
    from cloudmask.timed_run.launch import launch

    return launch(values, options.command_line)
