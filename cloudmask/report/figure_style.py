"""Style of figures, and their output as SVG for the page and as PNG.

A figure is drawn once, in the colours of the light page. In its SVG, each colour of `COLOURS` is
replaced by the CSS variable of that name, so that the figure follows the dark mode of the page.
"""

from __future__ import annotations

import io
import re
from collections.abc import Sequence
from html import escape
from pathlib import Path
from typing import Any

from matplotlib import rc_context
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

# Points. The figure is as wide as the page on a phone, so that its text is legible there.
WIDTH = 340
FONT_SIZE = 11
PNG_DOTS_PER_INCH = 200

_STYLE: dict[Any, Any] = {
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

style = rc_context(_STYLE)
"""Decorator of the functions that draw."""


def blank(height: float, ratios: Sequence[float] = (1,)) -> tuple[Figure, list[Axes]]:
    """A figure of this height in points, with one axes for each ratio of heights, sharing x."""
    figure = Figure(figsize=(WIDTH / 72, height / 72), layout="constrained")
    axes = figure.subplots(len(ratios), 1, squeeze=False, sharex=True, height_ratios=ratios)
    return figure, list(axes[:, 0])


def colour_of(index: int) -> str:
    """The colour of a series; colours repeat after the sixth."""
    return COLOURS[SERIES[index % len(SERIES)]]


def marker_of(index: int) -> str:
    """The marker of a series, which distinguishes series without colours."""
    return MARKERS[index % len(MARKERS)]


@rc_context(_STYLE)
def save_png(figure: Figure, path: Path) -> None:
    """Write a figure in the light colours."""
    figure.savefig(path, format="png", dpi=PNG_DOTS_PER_INCH)


def inline_svg(figure: Figure, name: str, alt: str) -> str:
    """A figure as an SVG element for the page, byte for byte the same for the same figure.

    `name`, unique in the page, is the prefix of all its identifiers; `alt` is the alternative text.
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
    opening = f'<svg {view_box.group()} role="img" aria-label="{escape(alt)}">'
    return opening + svg[svg.index(">") + 1 :]
