"""Style of figures, and their output as SVG for the page and as PNG.

A figure is drawn for a phone and for a wide screen, in the colours of the light page. In its SVG,
each colour of `COLOURS` is replaced by the CSS variable of that name, so that the figure follows
the dark mode of the page.
"""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import wraps
from pathlib import Path
from typing import Any, Concatenate, ParamSpec

from matplotlib import rc_context, rcParamsDefault
from matplotlib.axes import Axes
from matplotlib.figure import Figure

# Values are distinct, because the SVG is searched for them. All but `line`, which is decorative,
# have a contrast of at least 4.5 on `paper` (WCAG 2.1, success criteria 1.4.3 and 1.4.11).
COLOURS = {
    "paper": "#ffffff",
    "ink": "#1b1f24",
    "muted": "#57606b",
    "line": "#d0d5db",
    "blue": "#0b67ad",
    "orange": "#a85400",
    "green": "#1a7447",
    "purple": "#7f4fb3",
    "red": "#c02b3a",
    "teal": "#0b737f",
}
DARK_COLOURS = {
    "paper": "#14181c",
    "ink": "#e6e8ea",
    "muted": "#a3abb3",
    "line": "#3a424b",
    "blue": "#62b2f1",
    "orange": "#eda254",
    "green": "#5cc48c",
    "purple": "#c3a0f2",
    "red": "#ff858f",
    "teal": "#50c6d4",
}
SERIES = ("blue", "orange", "green", "purple", "red", "teal")
MARKERS = "osD^vP"

# Points. The narrow figure is as wide as the page on a phone, the wide one three quarters of its
# widest: text of `FONT_SIZE` is legible in both.
NARROW = 340
WIDE = 720
FONT_SIZE = 11
PNG_DOTS_PER_INCH = 200

_STYLE: dict[Any, Any] = {
    # Not those of the user's matplotlibrc, which may ask for LaTeX.
    **{key: value for key, value in rcParamsDefault.items() if not key.startswith("backend")},
    "svg.fonttype": "none",
    "text.parse_math": False,  # a "$" in a name is no formula
    "font.size": FONT_SIZE,
    "legend.frameon": False,
    "legend.fontsize": FONT_SIZE - 1,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "hatch.linewidth": 1.0,
    "figure.facecolor": COLOURS["paper"],
    "axes.facecolor": "none",
    "axes.edgecolor": COLOURS["muted"],
    "hatch.color": COLOURS["paper"],
    "grid.color": COLOURS["line"],
    "text.color": COLOURS["ink"],
    "axes.labelcolor": COLOURS["ink"],
    "xtick.labelcolor": COLOURS["ink"],
    "ytick.labelcolor": COLOURS["ink"],
    "xtick.color": COLOURS["muted"],
    "ytick.color": COLOURS["muted"],
}

P = ParamSpec("P")


@dataclass(frozen=True)
class Layouts:
    """The same figure for a narrow and for a wide screen."""

    narrow: Figure
    wide: Figure


style = rc_context(_STYLE)
"""Decorator of a function that draws."""


def both_layouts(draw: Callable[Concatenate[float, P], Figure]) -> Callable[P, Layouts]:
    """Decorator of a function that draws a figure of a width in points: `NARROW` and `WIDE`."""

    @wraps(draw)
    def drawn(*arguments: P.args, **named: P.kwargs) -> Layouts:
        with rc_context(_STYLE):
            return Layouts(*(draw(width, *arguments, **named) for width in (NARROW, WIDE)))

    return drawn


def blank(width: float, height: float, ratios: Sequence[float] = (1,)) -> tuple[Figure, list[Axes]]:
    """A figure of this size in points, with one axes for each ratio of heights, sharing x."""
    figure = Figure(figsize=(width / 72, height / 72), layout="constrained")
    axes = figure.subplots(len(ratios), 1, squeeze=False, sharex=True, height_ratios=ratios)
    return figure, list(axes[:, 0])


def colour_of(index: int) -> str:
    """The colour of a series. No two of 36 series have the same colour and the same marker."""
    return COLOURS[SERIES[index % len(SERIES)]]


def marker_of(index: int) -> str:
    """The marker of a series, which distinguishes the first six without colours."""
    return MARKERS[(index + index // len(SERIES)) % len(MARKERS)]


@rc_context(_STYLE)
def save_png(figure: Figure, path: Path) -> None:
    """Write a figure in the light colours."""
    figure.savefig(path, format="png", dpi=PNG_DOTS_PER_INCH)


def inline_svg(figure: Figure, name: str) -> str:
    """A figure as an SVG element for the page, byte for byte the same for the same figure.

    `name`, unique in the page, is the prefix of all its identifiers. It is hidden from assistive
    technology: the alternative text is that of the element around it.
    """
    text = io.StringIO()
    with rc_context({**_STYLE, "svg.hashsalt": name, "svg.id": None}):
        figure.savefig(text, format="svg", transparent=True, metadata={"Date": None})
    svg = text.getvalue()
    svg = svg[svg.index("<svg") :]
    # A style sheet in the SVG would apply to the whole page, whose own has the same rules.
    svg = re.sub(r"<(metadata|style)\b.*?</\1>", "", svg, flags=re.DOTALL)
    svg = re.sub(r'\bid="', f'id="{name}-', svg)
    svg = re.sub(r'(href="|url\()#', rf"\1#{name}-", svg)
    for variable, value in COLOURS.items():
        svg = svg.replace(value, f"var(--{variable})")
    view_box = re.search(r'viewBox="[^"]*"', svg)
    assert view_box is not None
    opening = f'<svg {view_box.group()} aria-hidden="true">'
    return opening + svg[svg.index(">") + 1 :]
