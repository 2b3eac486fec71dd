"""`cloudmask help`: the overview, or the help of a command."""

from __future__ import annotations

import argparse

from cloudmask.commands import command, overview, parser_of
from cloudmask.errors import EXIT_CODES, EXIT_OK


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """A command, if any."""
    parser.add_argument("command", nargs="?", metavar="COMMAND", help="the command to explain")


def run(options: argparse.Namespace) -> int:
    """Print the help."""
    if options.command is None:
        codes = "\n".join(f"  {code:<9}{meaning}" for code, meaning in EXIT_CODES.items())
        print(
            "usage: cloudmask COMMAND [ARGUMENT ...]\n\n"
            "Cloud masks of Sentinel-3 SLSTR scenes by a U-Net: the benchmark, its logs, and\n"
            f"masks of your own scenes.\n\ncommands:\n{overview()}\n\nexit codes:\n{codes}\n\n"
            "cloudmask COMMAND --help explains a command; --version prints the version."
        )
    else:
        command(options.command)
        print(parser_of(options.command).format_help(), end="")
    return EXIT_OK
