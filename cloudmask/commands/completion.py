"""`cloudmask completion`: what a shell needs to complete commands and flags."""

from __future__ import annotations

import argparse

from cloudmask.commands import COMMANDS, command
from cloudmask.errors import EXIT_OK
from cloudmask.parser import Parser

SHELLS = ("bash", "zsh")
EPILOG = """\
bash:  eval "$(cloudmask completion bash)"     in ~/.bashrc
zsh:   cloudmask completion zsh >_cloudmask    in a folder of $fpath"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The shell."""
    parser.epilog = EPILOG
    parser.add_argument("shell", choices=SHELLS, help="the shell that reads the output")


def run(options: argparse.Namespace) -> int:
    """Print the completion script."""
    import shtab

    print(shtab.complete(all_commands(), shell=options.shell))
    return EXIT_OK


def all_commands() -> argparse.ArgumentParser:
    """One parser with every command as a subcommand."""
    parser = Parser("", "")
    commands = parser.add_subparsers(dest="command", parser_class=argparse.ArgumentParser)
    for name, about in COMMANDS.items():
        arguments = commands.add_parser(name, help=about, description=about)
        command(name).add_arguments(arguments)
    return parser
