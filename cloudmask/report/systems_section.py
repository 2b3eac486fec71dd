"""The section that compares systems."""

from __future__ import annotations

from collections.abc import Iterable

from cloudmask.mlperf.score.compare import ComparisonRow, comparison_tables
from cloudmask.report.blocks import Section, TableBlock

ABOUT = (
    "Scores are ranked within the same data, division and target; no others are comparable. Ratios "
    "are to the first in rank. A system has a row for each setting of its runs (all parameters but "
    "the seed), in whatever folders the logs are."
)


def comparison_section(rows: Iterable[ComparisonRow]) -> Section:
    """A table of the rows of each benchmark, in the order given."""
    tables = [TableBlock(table) for table in comparison_tables(rows)]
    return Section("systems", "Systems side by side", [ABOUT, *tables])
