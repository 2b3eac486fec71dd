"""Content of the page: sections of paragraphs, tables, figures and galleries."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from cloudmask.report.figure_style import Layouts
from cloudmask.scenes.mask_attributes import SENSING_TIMES
from cloudmask.tables import Table

Image = NDArray[np.uint8]
"""RGB pixels (height, width, 3)."""

Colour = tuple[int, int, int]
"""Red, green and blue, 0 to 255."""


@dataclass(frozen=True)
class Card:
    """What a reader asks first of a system: its headline, and named facts."""

    title: str
    headline: str
    facts: Sequence[tuple[str, str]]


@dataclass(frozen=True)
class Cards:
    """Cards side by side where the screen is wide enough."""

    cards: Sequence[Card]


@dataclass(frozen=True)
class Legend:
    """The meanings of the colours of an image."""

    entries: Sequence[tuple[Colour, str]]


@dataclass(frozen=True)
class TableBlock:
    """A table; the first cell of each row is its heading, and the notes are below the rows.

    Attributes:
        collapsed: hidden until the reader opens it.
    """

    table: Table
    collapsed: bool = False


@dataclass(frozen=True)
class FigureBlock:
    """A figure with its caption, its alternative text, and a table of its numbers.

    Attributes:
        name: unique in the page; also the name of the PNG.
    """

    name: str
    caption: str
    alt: str
    figure: Layouts
    numbers: Table


@dataclass(frozen=True)
class Panel:
    """One image of a gallery, with the legend of its colours if they are those of classes."""

    title: str
    text: str
    image: Image
    legend: Legend | None = None

    @property
    def alt(self) -> str:
        """Alternative text."""
        return f"{self.title}: {self.text}"

    @property
    def aspect_ratio(self) -> float:
        """Width over height."""
        height, width, _ = self.image.shape
        return float(width / height)


@dataclass(frozen=True)
class Gallery:
    """Images of one scene side by side, and all of them in one figure for the PNG.

    Attributes:
        name: unique in the page; also the name of the PNG.
    """

    name: str
    title: str
    subtitle: str
    panels: Sequence[Panel]
    contact_sheet: Figure


Block = str | TableBlock | FigureBlock | Gallery | Cards | Legend


@dataclass(frozen=True)
class Section:
    """A part of the page under its heading; a block of text is a paragraph.

    Attributes:
        anchor: the HTML identifier.
    """

    anchor: str
    title: str
    blocks: Sequence[Block] = field(default_factory=tuple)


def sensing_start(scene: str) -> str:
    """Start of sensing in a product name, e.g. '2019-10-01 11:32:21'; else the name itself."""
    times = SENSING_TIMES.search(scene)
    if times is None:
        return scene
    start = times.group(1)
    return f"{start[:4]}-{start[4:6]}-{start[6:8]} {start[9:11]}:{start[11:13]}:{start[13:15]}"
