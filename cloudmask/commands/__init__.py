"""The commands: for each, its line in the overview, its arguments, and the call.

A command is a module `cloudmask.commands.<name>` with `add_arguments(parser)` and `run(options)`,
which returns the exit code. It imports what it needs when it runs: `check` does not wait for torch.
"""

from __future__ import annotations

import argparse
from importlib import import_module
from typing import Protocol, cast

from cloudmask.errors import InputError
from cloudmask.parameters import did_you_mean
from cloudmask.parser import Parser

COMMANDS = {
    "train": "train to the target accuracy, timed and logged",
    "synthesize": "make synthetic scenes with a known truth",
    "fetch": "download the public data set, and verify it",
    "infer": "mask your own scenes, HDF5 or Sentinel-3 products",
    "evaluate": "compare the network's masks with Bayesian and threshold masks",
    "doctor": "check whether this machine can do a run with these parameters",
    "check": "check result files by the official rules, and for consistency",
    "result": "print the figures of a run, ending with its RESULT line",
    "summarize": "score the runs of each system, and tell why a run does not count",
    "compare": "rank systems, beside published figures",
    "report": "make one page of runs, an evaluation and quick-looks of scenes",
    "system": "describe this machine in the JSON of MLPerf submissions",
    "package": "build a submission package of runs, or list the objections",
    "completion": "print the completion of commands and flags for a shell",
    "help": "show this overview, or the help of a command",
}


WEIGHTS_HELP = "weights_N.safetensors of a run, a folder for its newest, or latest"


class Command(Protocol):
    """The module of a command."""

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        """Add the command's arguments."""

    def run(self, options: argparse.Namespace) -> int:
        """Run with parsed arguments; `options.command_line` has them as given."""


def command(name: str) -> Command:
    """The module of a command.

    Raises:
        InputError: there is no such command.
    """
    if name not in COMMANDS:
        raise InputError(
            f"{name} is not a command{did_you_mean(name, COMMANDS) or '; see cloudmask help'}"
        )
    return cast(Command, import_module(f"{__name__}.{name}"))


def parser_of(name: str) -> Parser:
    """The parser of a command."""
    about = COMMANDS[name]
    parser = Parser(name, f"{about[0].upper()}{about[1:]}.")
    command(name).add_arguments(parser)
    return parser


def overview() -> str:
    """One line for each command."""
    width = max(map(len, COMMANDS)) + 2
    return "\n".join(f"  {name:{width}}{about}" for name, about in COMMANDS.items())
