"""The section that puts systems side by side."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from cloudmask import tables
from cloudmask.mlperf.score.compare import ComparisonRow, comparison_tables
from cloudmask.report.blocks import Section, Table

ABOUT = (
    "Ranked are scores of the same data, division and target, and nothing else can be compared; "
    "the ratio is to the first of them. A system has a row for each setting of its runs (all that "
    "they must have in common but the seed), in whatever folders they lie."
)


def comparison_section(rows: Iterable[ComparisonRow]) -> Section:
    """A table of the rows of each benchmark, in the order given."""
    found = [_with_remarks(table) for table in comparison_tables(rows)]
    return Section("systems", "Systems side by side", [ABOUT, *found])


def _with_remarks(table: tables.Table) -> Table:
    """The note of each row below it, and first its system: a rank cannot be a row's heading."""

    def cells(line: Sequence[str]) -> list[str]:
        rank, system, *figures, _ = line
        return [system, rank, *figures]

    rows, notes = [cells(row) for row in table.rows], [row[-1] for row in table.rows]
    return Table(table.title, cells(table.columns), rows, remarks=notes)
