"""Types of values that are given as text: on the command line, in variables and in YAML files.

Every source gives text, so that a value means the same wherever it stands.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import NoneType
from typing import Annotated, Any, Literal, get_args, get_origin


@dataclass(frozen=True)
class Range:
    """Bounds of a number; None for no bound."""

    least: float | None = None
    above: float | None = None
    most: float | None = None
    below: float | None = None

    def __contains__(self, value: float) -> bool:
        return (
            (self.least is None or value >= self.least)
            and (self.above is None or value > self.above)
            and (self.most is None or value <= self.most)
            and (self.below is None or value < self.below)
        )

    def __str__(self) -> str:
        low = f"{self.least:g} or more" if self.least is not None else ""
        low = f"above {self.above:g}" if self.above is not None else low
        high = f"at most {self.most:g}" if self.most is not None else ""
        high = f"below {self.below:g}" if self.below is not None else high
        return " and ".join(part for part in (low, high) if part)


PositiveInt = Annotated[int, Range(least=1)]
NonNegativeInt = Annotated[int, Range(least=0)]
PositiveFloat = Annotated[float, Range(above=0)]
NonNegativeFloat = Annotated[float, Range(least=0)]
Share = Annotated[float, Range(above=0, most=1)]
ShareOrNone = Annotated[float, Range(least=0, most=1)]
Decay = Annotated[float, Range(least=0, below=1)]
# From the freezing point of fresh water to a temperature that no sea reaches.
WaterKelvin = Annotated[float, Range(least=273.15, below=320)]


def parse(kind: Any, text: str) -> Any:
    """Convert text to a value of a type: a number, bool, path, text, `Literal`, or a union of them.

    Integers are decimal, with or without leading zeros; floats are finite.

    Raises:
        ValueError: the text is no value of the type.
    """
    if get_origin(kind) is Annotated:
        base, bounds = get_args(kind)
        value = parse(base, text)
        valid = value in bounds
    elif get_origin(kind) is Literal:
        value, valid = text, text in get_args(kind)
    elif not isinstance(kind, type):
        return _parse_union(_alternatives(kind), text)
    elif kind is bool:
        value, valid = text.lower() == "true", text.lower() in ("true", "false")
    elif kind is int:
        valid = re.fullmatch(r"[+-]?[0-9]{1,18}", text) is not None
        value = int(text) if valid else None
    elif kind is float:
        valid = re.fullmatch(r"[+-]?[0-9.]+([eE][+-]?[0-9]+)?", text) is not None
        value = float(text) if valid else math.nan
        valid = math.isfinite(value)
    else:
        value, valid = kind(text), bool(text) or kind is str
    if not valid:
        raise ValueError(text)
    return value


def describe(kind: Any) -> str:
    """What values a type has, in words: `a whole number, 1 or more`."""
    if get_origin(kind) is Annotated:
        base, bounds = get_args(kind)
        return f"{describe(base)}, {bounds}"
    if get_origin(kind) is Literal:
        return any_of(get_args(kind))
    if not isinstance(kind, type):
        alternatives = _alternatives(kind)
        words = [item for each in alternatives[:-1] for item in get_args(each) or [describe(each)]]
        return any_of([*words, describe(alternatives[-1])])
    names = {bool: "true or false", int: "a whole number", float: "a number", Path: "a path"}
    return names.get(kind, "text")


def any_of(words: Sequence[str]) -> str:
    """Alternatives in words: `a, b or c`."""
    *others, last = words
    return f"{', '.join(others)} or {last}" if others else last


def _alternatives(union: Any) -> list[Any]:
    return [kind for kind in get_args(union) if kind is not NoneType]


def _parse_union(kinds: list[Any], text: str) -> Any:
    for kind in kinds[:-1]:
        try:
            return parse(kind, text)
        except ValueError:
            continue
    return parse(kinds[-1], text)
