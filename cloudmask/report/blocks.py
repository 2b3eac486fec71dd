"""What the page is made of: sections of sentences, tables, figures and galleries."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

from matplotlib.figure import Figure

from cloudmask.scenes.mask_files import SENSING_TIMES

UNDEFINED = "-"


@dataclass(frozen=True)
class Table:
    """Cells of text; the first cell of a row is its heading."""

    caption: str
    head: Sequence[str]
    rows: Sequence[Sequence[str]]
    folded: bool = False
    """Shown only when the reader opens it."""
    remarks: Sequence[str] = ()
    """To each row a sentence that is shown below it, where there is one."""


@dataclass(frozen=True)
class Picture:
    """A figure, what it shows in words and numbers, and the numbers behind it."""

    name: str
    """Unique in the page; the PNG is called so."""
    caption: str
    alt: str
    figure: Figure
    numbers: Table | None = None


@dataclass(frozen=True)
class Panel:
    """One image of a gallery."""

    title: str
    alt: str
    """What a screen reader says instead of it."""
    png: bytes
    remark: str = ""
    """What stands below it."""


@dataclass(frozen=True)
class Gallery:
    """Images of one scene side by side, and a figure of all of them for the PNG."""

    name: str
    title: str
    remark: str
    panels: Sequence[Panel]
    sheet: Figure


Block = str | Table | Picture | Gallery


@dataclass(frozen=True)
class Section:
    """A part of the page under a heading of its own; a block of text is a paragraph."""

    ident: str
    title: str
    blocks: Sequence[Block] = field(default_factory=tuple)


def number(value: float | None, decimals: int = 3, sign: bool = False) -> str:
    """A figure with so many decimals, or a dash for what is not defined."""
    if value is None or not math.isfinite(value):
        return UNDEFINED
    return f"{value:{'+' if sign else ''}.{decimals}f}"


def sensing_start(scene: str) -> str:
    """When sensing started, as the product name tells; else the name itself."""
    times = SENSING_TIMES.search(scene)
    if times is None:
        return scene
    start = times.group(1)
    return f"{start[:4]}-{start[4:6]}-{start[6:8]} {start[9:11]}:{start[11:13]}:{start[13:15]}"
