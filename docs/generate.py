"""Writes docs/parameters.md, docs/commands.md and docs/croissant/ from the code.

python -m docs.generate [FOLDER]
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Iterable, Sequence
from dataclasses import MISSING
from pathlib import Path

from cloudmask.commands import COMMANDS, parser_of
from cloudmask.config import GROUPS, RECIPES, SET_BY_SCRIPTS, Config
from cloudmask.errors import EXIT_CODES
from cloudmask.fetch import croissant
from cloudmask.fetch.places import KNOWN_PREFIXES
from cloudmask.parameters import Parameter, parameters_of
from cloudmask.tables import Table
from cloudmask.value_types import any_of, describe

NOTE = "<!-- Written by `python -m docs.generate`; change the code instead. -->"
PARAMETERS = """\
# Parameters

Every parameter of a run, with the name it has in a YAML file. The flag of `batch_size` is
`--batch-size`, its environment variable `CLOUDMASK_BATCH_SIZE`; a parameter that is true or false
has two flags, `--augment` and `--no-augment`. `cloudmask train --config run.yaml` reads a YAML
file, and `cloudmask train --print-config` prints the values in effect in the same form."""
RECIPE = """\
## recipes

`recipe` sets these parameters unless they are given."""
SCRIPTS = """\
## set by scripts

`run_and_time.sh` and `run.sub` give these; they are not in `cloudmask train --help`."""
COMMAND_LINES = """\
# Commands

`cloudmask COMMAND [ARGUMENT ...]`. `cloudmask help` prints this overview, `cloudmask --version` the
version, and `cloudmask COMMAND --help` the arguments of a command. A misspelled command or flag is
answered with the one that it resembles."""
EXITS = """\
## Exit codes

All commands mean the same by them."""


def parameters_page() -> str:
    """docs/parameters.md."""
    parameters = parameters_of(Config)
    groups: dict[str, list[Parameter]] = {}
    title = ""
    for parameter in parameters:
        title = GROUPS.get(parameter.name, title)
        groups.setdefault(title, []).append(parameter)
    parts = [PARAMETERS]
    for title, members in groups.items():
        shown = [parameter for parameter in members if parameter.name not in SET_BY_SCRIPTS]
        parts += [f"## {title}", _parameter_table(shown)]
    usual = {parameter.name: parameter.default for parameter in parameters}
    recipes = [
        [f"`{name}`", _value(RECIPES["fast"].get(name, usual[name])), _value(value)]
        for name, value in RECIPES["reference"].items()
    ]
    parts += [RECIPE, Table("", ("parameter", "fast", "reference"), recipes, "lll").markdown()]
    hidden = [parameter for parameter in parameters if parameter.name in SET_BY_SCRIPTS]
    parts += [SCRIPTS, _parameter_table(hidden)]
    return _page(parts)


def commands_page() -> str:
    """docs/commands.md."""
    lines = [[f"`cloudmask {name}`", about] for name, about in COMMANDS.items()]
    codes = [[f"`{code}`", meaning] for code, meaning in EXIT_CODES.items()]
    parts = [
        COMMAND_LINES,
        Table("", ("command", "what it does"), lines, "ll").markdown(),
        EXITS,
        Table("", ("exit code", "meaning"), codes, "ll").markdown(),
    ]
    for name in COMMANDS:
        parts.append(f"## {name}")
        if name in ("train", "doctor"):
            parts.append("The parameters of a run ([parameters.md](parameters.md)), and:")
        parts.append(_argument_table(name))
    return _page(parts)


def _parameter_table(parameters: Iterable[Parameter]) -> str:
    rows = [
        [f"`{item.name}`", _value(item.default), describe(item.kind), _text(item.description)]
        for item in parameters
    ]
    return Table("", ("parameter", "default", "values", "meaning"), rows, "llll").markdown()


def _argument_table(name: str) -> str:
    parameters = {item.flag for item in parameters_of(Config)}
    shared = parameters if name in ("train", "doctor") else set()
    rows = []
    for action in parser_of(name)._actions:
        if "-h" in action.option_strings or shared & set(action.option_strings):
            continue
        names = action.option_strings or [action.metavar or action.dest]
        words = ", ".join(f"`{item}`" for item in names)
        rows.append([words + (" (required)" if _is_required(action) else ""), _meaning(action)])
    return Table("", ("argument", "meaning"), rows, "ll").markdown()


def _is_required(action: argparse.Action) -> bool:
    return action.required and bool(action.option_strings)


def _meaning(action: argparse.Action) -> str:
    text = (action.help or "").replace("%%", "%")
    if action.choices:
        choices = any_of(list(action.choices))
        text = f"{choices}: {text[0].lower()}{text[1:]}" if text else choices
    return _text(text)


def _text(text: str) -> str:
    """Text that Markdown takes for what it is."""
    return re.sub(r"(`[^`]*`)|([*<])", lambda found: found[1] or f"\\{found[2]}", text)


def _value(value: object) -> str:
    if value in (None, MISSING):
        return ""
    return f"`{str(value).lower() if isinstance(value, bool) else value}`"


def _page(parts: Sequence[str]) -> str:
    return "\n\n".join([NOTE, *parts]) + "\n"


def main(folder: Path) -> None:
    """Write both pages, and the descriptions of the data sets, into a folder."""
    (folder / "parameters.md").write_text(parameters_page(), encoding="utf-8")
    (folder / "commands.md").write_text(commands_page(), encoding="utf-8")
    (folder / "croissant").mkdir(exist_ok=True)
    for dataset in KNOWN_PREFIXES:
        text = croissant.as_text(croissant.describe(dataset))
        (folder / "croissant" / f"{dataset}.json").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent)
