"""`cloudmask doctor`: whether this machine can do a run."""

from __future__ import annotations

import argparse

from cloudmask import config
from cloudmask.commands.train import require_linux
from cloudmask.errors import EXIT_OK


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The parameters of the run, and the form of the answer."""
    parser.add_argument(
        "--health", action="store_true", help="only print device, torch and memory, in one line"
    )
    parser.add_argument("--json", action="store_true", help="print the findings as JSON")
    config.add_arguments(parser)


def run(options: argparse.Namespace) -> int:
    """Print the findings, or the health line."""
    require_linux("a timed run, which doctor prepares,")
    from cloudmask.doctor.command import diagnose, health_line

    values = config.from_options(options)
    if options.print_config:
        print(values.as_yaml(), end="")
        return EXIT_OK
    if options.health:  # one line, for the start of a job's output
        print(health_line(), flush=True)
        return EXIT_OK
    return diagnose(values, as_json=options.json)
