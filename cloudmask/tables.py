"""A table as plain text, as Markdown and as CSV."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

FORMATS = ("text", "markdown", "csv", "json")
NONE = "-"

T = TypeVar("T")


@dataclass(frozen=True)
class Table:
    """Cells under headings; the first `left` columns and the last `notes` ones are words."""

    title: str
    headings: Sequence[str]
    rows: Sequence[Sequence[str]]
    left: int = 1
    notes: int = 0

    def text(self) -> str:
        """Columns as wide as their widest cell."""
        lines = [self.headings, *self.rows]
        widths = [max(len(line[column]) for line in lines) for column in range(len(self.headings))]
        words = self._words()
        grid = [
            "  ".join(
                cell.ljust(width) if word else cell.rjust(width)
                for cell, width, word in zip(line, widths, words, strict=True)
            ).rstrip()
            for line in lines
        ]
        return "\n".join([self.title, "", *grid])

    def markdown(self) -> str:
        """A section with a table."""
        marks = ["---" if word else "---:" for word in self._words()]
        lines = [self.headings, marks, *([_escaped(cell) for cell in row] for row in self.rows)]
        return "\n".join([f"## {self.title}", "", *(f"| {' | '.join(line)} |" for line in lines)])

    def _words(self) -> list[bool]:
        count = len(self.headings)
        return [not self.left <= column < count - self.notes for column in range(count)]


def csv_text(headings: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """Comma-separated values with a heading; what is not defined is left empty."""
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(headings)
    writer.writerows([defined(value) for value in row] for row in rows)
    return file.getvalue()


def defined(value: T) -> T | None:
    """None for a number that is none, else the value."""
    return None if isinstance(value, float) and math.isnan(value) else value


def number(value: float | None, decimals: int = 1) -> str:
    """A figure, or a dash where there is none."""
    return NONE if value is None or math.isnan(value) else f"{value:.{decimals}f}"


def interval(low: float | None, high: float | None, decimals: int = 1) -> str:
    """A range, or a dash."""
    if low is None or high is None or math.isnan(low):
        return NONE
    return f"{low:.{decimals}f} to {high:.{decimals}f}"


def _escaped(cell: str) -> str:
    return cell.replace("|", "\\|")
