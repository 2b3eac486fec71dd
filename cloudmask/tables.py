"""Tables as plain text, Markdown and CSV, and the format of the numbers in them."""

import csv
import io
import math
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

FORMATS = ("text", "markdown", "csv", "json")
UNDEFINED = "-"
TERMINAL_WIDTH = 80
INDENT = " " * 4

T = TypeVar("T")


@dataclass(frozen=True)
class Table:
    """Rows of cells under column headings.

    Attributes:
        title: printed above the table; '' for a table without one.
        columns: the headings.
        rows: the cells, as text.
        alignment: 'l' or 'r' for each column, from the first; the rest are right-aligned.
        notes: for each row a sentence about it; () without any.
    """

    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[str]]
    alignment: str = "l"
    notes: Sequence[str] = ()

    def render(self, form: str) -> str:
        """The table as 'text' or 'markdown'."""
        return self.markdown() if form == "markdown" else self.text()

    def text(self) -> str:
        """Columns as wide as their widest cell, separated by two spaces; notes below the rows."""
        lines = [self.columns, *self.rows]
        widths = [max(map(len, cells)) for cells in zip(*lines, strict=True)]
        grid = [
            "  ".join(
                cell.ljust(width) if side == "l" else cell.rjust(width)
                for cell, width, side in zip(line, widths, self._sides(), strict=True)
            ).rstrip()
            for line in lines
        ]
        for row, note in enumerate(self.notes, 1):
            grid[row] = "\n".join([grid[row], *_indented(note)])
        return "\n".join([self.title, "", *grid] if self.title else grid)

    def without_undefined(self) -> "Table":
        """The table without the columns in which every value is undefined."""
        known = [
            index
            for index in range(len(self.columns))
            if not self.rows or any(row[index] != UNDEFINED for row in self.rows)
        ]
        return replace(
            self,
            columns=[self.columns[index] for index in known],
            rows=[[row[index] for index in known] for row in self.rows],
            alignment="".join(self._sides()[index] for index in known),
        )

    def markdown(self) -> str:
        """A Markdown table, below its title as a heading; notes are its last column."""
        columns, rows = list(self.columns), self.rows
        rules = ["---" if side == "l" else "---:" for side in self._sides()]
        if self.notes:
            columns.append("note")
            rules.append("---")
            rows = [[*row, note] for row, note in zip(rows, self.notes, strict=True)]
        cells = [[cell.replace("|", "\\|") for cell in row] for row in rows]
        grid = [f"| {' | '.join(line)} |" for line in (columns, rules, *cells)]
        return "\n".join([f"## {self.title}", "", *grid] if self.title else grid)

    def _sides(self) -> str:
        return self.alignment.ljust(len(self.columns), "r")


def _indented(note: str) -> list[str]:
    """The lines of a note in a terminal."""
    return textwrap.wrap(note, TERMINAL_WIDTH, initial_indent=INDENT, subsequent_indent=INDENT)


def csv_text(columns: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """Comma-separated values with a header line; None and NaN are empty fields."""
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows([none_if_nan(value) for value in row] for row in rows)
    return file.getvalue()


def none_if_nan(value: T) -> T | None:
    """None for NaN, which JSON and CSV do not have; any other value as it is."""
    return None if isinstance(value, float) and math.isnan(value) else value


def number(value: float | None, decimals: int = 1, sign: bool = False) -> str:
    """A number with `decimals` decimals, with its plus sign if `sign`; '-' if it is not finite."""
    if value is None or not math.isfinite(value):
        return UNDEFINED
    return f"{value:{'+' if sign else ''}.{decimals}f}"


def counted(count: int, noun: str, kind: str = "") -> str:
    """A number with its noun, singular or plural: '1 scene', '2 patches', '0 training scenes'.

    `kind` stands between them and does not change.
    """
    ending = "es" if noun.endswith(("s", "x", "tch", "sh")) else "s"
    return " ".join(filter(None, (f"{count}", kind, noun if count == 1 else noun + ending)))


def interval(low: float | None, high: float | None, decimals: int = 1, sign: bool = False) -> str:
    """An interval, '1.0 to 2.0'; '-' if an end is not finite."""
    ends = [number(end, decimals, sign) for end in (low, high)]
    return UNDEFINED if UNDEFINED in ends else " to ".join(ends)


def estimate(
    found: Mapping[str, float | None] | None, decimals: int = 1, sign: bool = False
) -> str:
    """The `value` of an estimate with its interval from `low` to `high`, '1.5 (1.0 to 2.0)'.

    Without an interval, the value alone; '-' if there is no value or no estimate.
    """
    if found is None:
        return UNDEFINED
    value = number(found["value"], decimals, sign)
    ends = interval(found["low"], found["high"], decimals, sign)
    return value if UNDEFINED in (value, ends) else f"{value} ({ends})"
