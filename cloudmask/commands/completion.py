"""`cloudmask completion`: what a shell needs to complete commands and flags."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from cloudmask.commands import COMMANDS, command
from cloudmask.errors import EXIT_OK, InputError
from cloudmask.parser import Parser

SHELLS = ("bash", "zsh")
EPILOG = """\
needs the package shtab (pip install shtab)
bash:  eval "$(cloudmask completion bash)"     in ~/.bashrc
zsh:   cloudmask completion zsh >_cloudmask    in a folder of $fpath"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The shell."""
    parser.epilog = EPILOG
    parser.add_argument("shell", choices=SHELLS, help="the shell that reads the output")


def run(options: argparse.Namespace) -> int:
    """Print the completion script."""
    try:
        import shtab
    except ModuleNotFoundError as error:
        raise InputError(
            f"this needs the package shtab: {sys.executable} -m pip install shtab"
        ) from error
    print(shtab.complete(all_commands(shtab.FILE), shell=options.shell))
    return EXIT_OK


def all_commands(file: Mapping[str, Any] | None = None) -> argparse.ArgumentParser:
    """One parser with every command as a subcommand; `file` is what completes the name of one."""
    parser = Parser("", "")
    parser.add_argument("--version", action="store_true", help="print the version")
    commands = parser.add_subparsers(dest="command", parser_class=argparse.ArgumentParser)
    for name, about in COMMANDS.items():
        arguments = commands.add_parser(name, help=about, description=about)
        command(name).add_arguments(arguments)
        for action in arguments._actions:
            words = action.metavar if isinstance(action.metavar, str) else ""
            if action.type is Path or words == "PATH":
                action.complete = file  # type: ignore[attr-defined]
            elif words.startswith("{"):
                action.choices = words.strip("{}").split(",")
            elif name == "help" and action.dest == "command":
                action.choices = list(COMMANDS)
    return parser
