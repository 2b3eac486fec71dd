"""Parameters as the fields of a dataclass: their flags, variables and YAML files.

A field's name is the parameter's, its annotation one of `cloudmask.value_types`, and the string
below it the description.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping
from dataclasses import MISSING, dataclass, fields
from difflib import get_close_matches
from functools import cache
from pathlib import Path
from typing import Any, get_type_hints

import yaml
from docstring_parser import parse_from_object

from cloudmask.errors import InputError
from cloudmask.value_types import describe, parse

# Variables that Kubernetes makes of a service with the name of the prefix, in every container.
SERVICE_VARIABLE = re.compile(
    r"SERVICE_HOST|SERVICE_PORT(_\w+)?|PORT(_[0-9]+_(TCP|UDP|SCTP)(_(ADDR|PORT|PROTO))?)?"
)


@dataclass(frozen=True)
class Parameter:
    """One field of a dataclass of parameters."""

    name: str
    kind: Any
    default: Any  # MISSING if there is none
    description: str

    @property
    def flag(self) -> str:
        """The flag of the command line."""
        return "--" + self.name.replace("_", "-")

    @property
    def required(self) -> bool:
        """Whether it has no default."""
        return self.default is MISSING


@dataclass(frozen=True)
class Given:
    """The text of a value and where it was given, such as `--seed`; None for YAML's null."""

    text: str | None
    source: str


@cache
def parameters_of(options: type) -> tuple[Parameter, ...]:
    """The parameters that a dataclass declares, in its order."""
    kinds = get_type_hints(options, include_extras=True)
    texts = {
        item.arg_name: " ".join((item.description or "").split())
        for item in parse_from_object(options).params
    }
    return tuple(
        Parameter(item.name, kinds[item.name], item.default, texts.get(item.name, ""))
        for item in fields(options)
    )


def convert(options: type, given: Mapping[str, Given]) -> dict[str, Any]:
    """The values of parameters by name.

    Raises:
        InputError: names the parameter, its value, where that is from, and what is allowed.
    """
    kinds = {parameter.name: parameter.kind for parameter in parameters_of(options)}
    return {name: _convert(name, kinds[name], item) for name, item in given.items()}


def _convert(name: str, kind: Any, given: Given) -> Any:
    optional = type(None) in getattr(kind, "__args__", ())
    if given.text is None and optional:
        return None
    try:
        if given.text is None:
            raise ValueError
        return parse(kind, given.text)
    except ValueError:
        value = given.text if given.text else "empty"
        raise InputError(f"{name} is {value} ({given.source}): give {describe(kind)}") from None


def variables(
    prefix: str, names: Iterable[str], environment: Mapping[str, str] = os.environ
) -> dict[str, Given]:
    """The parameters that environment variables `<prefix>_<NAME>` give.

    Raises:
        InputError: a variable with the prefix is no parameter. Those that Kubernetes makes of a
            service of this name are none, and allowed.
    """
    known = {f"{prefix}_{name.upper()}": name for name in names}
    given = {}
    for variable, value in environment.items():
        if variable in known:
            given[known[variable]] = Given(value, f"from {variable}")
        elif variable.startswith(f"{prefix}_") and not SERVICE_VARIABLE.fullmatch(
            variable.removeprefix(f"{prefix}_")
        ):
            raise InputError(
                f"environment variable {variable} is not a parameter{did_you_mean(variable, known)}"
            )
    return given


# Blocks in the config.yaml of an MLCommons Science submission, about source and data.
SUBMISSION_BLOCKS = ("github", "data")


def read_yaml(path: Path, names: Iterable[str]) -> dict[str, Given]:
    """The parameters that a YAML file gives.

    Raises:
        InputError: the file cannot be read; or see `parse_yaml`.
    """
    try:
        return parse_yaml(path.read_text(encoding="utf-8-sig"), str(path), names)
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror})") from error
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: is not YAML in UTF-8 ({error.reason})") from error


def parse_yaml(text: str, path: str, names: Iterable[str]) -> dict[str, Given]:
    """The parameters that YAML text gives; `path` says in messages where it is from.

    Values are taken as they are written, so `no` is text, `010` is 10 and `1e-3` a number, where
    a parameter is of this type; only a null that is not quoted has a meaning of its own. The
    `SUBMISSION_BLOCKS` are passed over.

    Raises:
        InputError: it is no mapping of single values, has a name twice, or one that is no
            parameter.
    """
    names = list(names)
    try:
        node = yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.YAMLError as error:
        raise InputError(f"{path}: is not YAML ({' '.join(str(error).split())})") from error
    if node is None:
        return {}
    if not isinstance(node, yaml.MappingNode):
        raise InputError(f"{path}: write one `parameter: value` in each line")
    given: dict[str, Given] = {}
    for key, value in node.value:
        where = f"{path}, line {key.start_mark.line + 1}"
        if key.value in SUBMISSION_BLOCKS and not isinstance(value, yaml.ScalarNode):
            continue
        if not (isinstance(key, yaml.ScalarNode) and isinstance(value, yaml.ScalarNode)):
            raise InputError(f"{where}: write `parameter: value` with a single value")
        if key.value not in names:
            raise InputError(
                f"{where}: {key.value} is not a parameter{did_you_mean(key.value, names)}"
            )
        if key.value in given:
            raise InputError(f"{where}: {key.value} is given a second time; remove one")
        null = value.tag == "tag:yaml.org,2002:null"
        given[key.value] = Given(None if null else value.value, f"from {where}")
    return given


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """'; did you mean ...?' with the known name that is most like this one, or ''."""
    close = get_close_matches(name, list(known), n=1)
    return f"; did you mean {close[0]}?" if close else ""
