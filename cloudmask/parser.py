"""The argument parser of all commands: argparse, with flags of one spelling and short messages."""

from __future__ import annotations

import argparse
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import MISSING
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NoReturn, get_args, get_origin

from cloudmask.errors import InputError
from cloudmask.parameters import Given, Parameter, did_you_mean
from cloudmask.value_types import describe

if TYPE_CHECKING:
    from _typeshed import SupportsWrite


class _Help(argparse.RawDescriptionHelpFormatter):
    """Help in which values are named by their type, as those of parameters are."""

    def _get_default_metavar_for_optional(self, action: argparse.Action) -> str:
        names: dict[Any, str] = {Path: "PATH", int: "N", float: "X"}
        return names.get(action.type, "TEXT")


class Parser(argparse.ArgumentParser):
    """Flags have dashes; underscores and `--switch=true` or `false` are understood as well.

    Errors are raised as `InputError`, in one sentence.
    """

    def __init__(self, command: str, description: str, epilog: str | None = None) -> None:
        super().__init__(
            prog=f"cloudmask {command}".strip(),
            description=description,
            epilog=epilog,
            allow_abbrev=False,
            formatter_class=_Help,
        )
        self.register("type", int, _whole_number)
        self.register("type", float, _number)

    def error(self, message: str) -> NoReturn:
        """Raise the message, in which a flag of several spellings has one of them."""
        for action in self._actions:
            spellings = action.option_strings
            long = [spelling for spelling in spellings if spelling.startswith("--")]
            message = message.replace("/".join(spellings), long[0]) if long else message
        message = re.sub(r"ignored explicit argument .*", "takes no value", message)
        raise InputError(f"{message.removeprefix('argument ')}; see {self.prog} --help")

    def print_help(self, file: SupportsWrite[str] | None = None) -> None:
        """Print the help; a reader that is gone is an error, as for any other output."""
        print(self.format_help(), end="", file=file)

    def parse_arguments(self, arguments: Sequence[str]) -> argparse.Namespace:
        """Parse all arguments.

        Raises:
            InputError: an unknown flag, a missing or impossible value.
        """
        end = arguments.index("--") if "--" in arguments else len(arguments)
        flags = [self._known_flag(argument) for argument in arguments[:end]]
        return self.parse_args([*flags, *arguments[end:]])

    def _known_flag(self, argument: str) -> str:
        """A flag in the spelling of this parser; any other argument as it is."""
        if not argument.startswith("--") or " " in argument.partition("=")[0]:
            return argument
        name, equals, value = argument.partition("=")
        flag = "--" + name[2:].replace("_", "-")
        known = self._option_string_actions
        if flag not in known:
            raise InputError(
                f"{name} is not a flag of {self.prog}"
                f"{did_you_mean(flag, known) or f'; see {self.prog} --help'}"
            )
        switch = known[flag]
        if isinstance(switch, argparse.BooleanOptionalAction) and equals:
            if value not in ("true", "false"):
                raise InputError(f"{argument}: give {' or '.join(switch.option_strings)}")
            on, off = switch.option_strings
            return on if (flag == on) == (value == "true") else off
        return f"{flag}{equals}{value}"


def _whole_number(text: str) -> int:
    try:
        return int(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number") from error


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number") from error


def add_parameters(
    parser: argparse.ArgumentParser,
    parameters: Sequence[Parameter],
    hidden: Collection[str] = (),
    groups: Mapping[str, str] | None = None,
) -> None:
    """Add a flag for each parameter.

    Args:
        hidden: names of parameters that the help leaves out.
        groups: title of a group of the help, by the name of its first parameter.
    """
    group: Any = parser
    for parameter in parameters:
        if parameter.name in (groups or {}):
            group = parser.add_argument_group((groups or {})[parameter.name])
        style: dict[str, Any] = {"metavar": _metavar(parameter.kind)}
        if parameter.kind is bool:
            style = {"action": argparse.BooleanOptionalAction}
        text = argparse.SUPPRESS if parameter.name in hidden else _help(parameter)
        group.add_argument(
            parameter.flag, dest=parameter.name, required=parameter.required, help=text, **style
        )


def given_flags(options: argparse.Namespace, parameters: Sequence[Parameter]) -> dict[str, Given]:
    """The parameters that flags gave, by name."""
    given = {}
    for parameter in parameters:
        value = getattr(options, parameter.name, None)
        if value is not None:
            text = str(value).lower() if isinstance(value, bool) else value
            given[parameter.name] = Given(text, f"from {parameter.flag}")
    return given


def _metavar(kind: Any) -> str:
    for choices in (kind, *get_args(kind)[:1]):
        if get_origin(choices) is Literal:
            others = [] if type(None) in get_args(kind) or choices is kind else ["PATH"]
            return "{" + ",".join([*get_args(choices), *others]) + "}"
    words = describe(kind)
    for start, name in (("a whole number", "N"), ("a number", "X"), ("a path", "PATH")):
        if words.startswith(start):
            return name
    return "TEXT"


def _help(parameter: Parameter) -> str:
    text, default = parameter.description, parameter.default
    if default is True:
        text += " Default: yes."
    elif default not in (MISSING, None, "") and default is not False:
        text += f" Default: {default}."
    return text.replace("%", "%%")
