"""The section that compares systems."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from cloudmask.mlperf.score.compare import ComparisonRow, comparison_tables
from cloudmask.report.blocks import Section, TableBlock
from cloudmask.tables import Table

ABOUT = (
    "Scores are ranked within the same data, division and target; no others are comparable. Ratios "
    "are to the first in rank. A system has a row for each setting of its runs (all parameters but "
    "the seed), in whatever folders the logs are."
)


def comparison_section(rows: Iterable[ComparisonRow]) -> Section:
    """A table of the rows of each benchmark, in the order given."""
    tables = [_with_row_notes(table) for table in comparison_tables(rows)]
    return Section("systems", "Systems side by side", [ABOUT, *tables])


def _with_row_notes(table: Table) -> TableBlock:
    """The system as first column, because a rank is no heading, and the note below its row."""

    def cells(line: Sequence[str]) -> list[str]:
        rank, system, *figures, _ = line
        return [system, rank, *figures]

    content = Table(table.title, cells(table.columns), [cells(row) for row in table.rows])
    return TableBlock(content, row_notes=[row[-1] for row in table.rows])
