"""The section that puts systems side by side."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from statistics import mean
from typing import Protocol

from cloudmask.report.blocks import UNDEFINED, Block, Section, Table, number
from cloudmask.report.runs import RunFolder
from cloudmask.report.timing import RUNS_OF_A_SCORE, score


class Row(Protocol):
    """What the section shows of one system, or of one published figure."""

    @property
    def benchmark(self) -> str:
        """What was run, in words: only rows of the same benchmark can be compared."""

    @property
    def system(self) -> str: ...

    @property
    def runs(self) -> int | None:
        """Runs that count."""

    @property
    def seconds(self) -> float | None:
        """The score; None where there is none."""

    @property
    def low(self) -> float | None:
        """Lower end of the interval of `seconds`."""

    @property
    def high(self) -> float | None: ...

    @property
    def epochs(self) -> float | None:
        """Mean over the runs."""

    @property
    def ratio(self) -> float | None:
        """`seconds` over those of the first system of the same data set."""

    @property
    def published(self) -> bool:
        """Whether the figure is somebody else's."""

    @property
    def note(self) -> str: ...


@dataclass(frozen=True)
class SystemRow:
    """A row made from the runs of a folder, or of a published figure."""

    benchmark: str
    system: str
    runs: int | None = None
    seconds: float | None = None
    low: float | None = None
    """The fastest run, s."""
    high: float | None = None
    """The slowest run, s."""
    epochs: float | None = None
    ratio: float | None = None
    published: bool = False
    note: str = ""


PUBLISHED = (
    SystemRow("ds1", "2 x DGX-2, 32 V100", seconds=3540, published=True, note="benchmark's page"),
    SystemRow(
        "ds1",
        "UVA Rivanna, A100",
        runs=1,
        published=True,
        note="target not met: accuracy 0.883 after 100 epochs, 4302 s",
    ),
)


def comparison_section(rows: Sequence[Row]) -> Section:
    """A table of the rows of each benchmark, in the order given."""
    blocks: list[Block] = [
        "Only times of the same benchmark can be compared; the ratio is to its first system. "
        "Published figures come from other programs and hardware, which load their data in other "
        "ways."
    ]
    for benchmark, group in groupby(rows, key=lambda row: row.benchmark):
        cells = [
            [
                f"{row.system} (published)" if row.published else row.system,
                number(row.runs, 0),
                number(row.seconds, 1),
                _span(row.low, row.high),
                number(row.epochs, 1),
                number(row.ratio, 2),
                row.note,
            ]
            for row in group
        ]
        head = ["system", "runs", "seconds", "from, to", "epochs", "ratio", "note"]
        blocks.append(Table(f"Time to solution: {benchmark}", head, cells))
    return Section("systems", "Systems side by side", blocks)


def system_rows(folders: Sequence[RunFolder]) -> list[SystemRow]:
    """A row for each system and each published figure, by data set."""
    rows = sorted([*map(_row, folders), *PUBLISHED], key=lambda row: row.benchmark)
    first: dict[str, float] = {}
    for row in rows:
        if row.seconds:
            first.setdefault(row.benchmark, row.seconds)
    return [
        replace(row, ratio=row.seconds / first[row.benchmark]) if row.seconds else row
        for row in rows
    ]


def _row(folder: RunFolder) -> SystemRow:
    solved = [run for run in folder.runs if run.reached_target]
    times = [run.summary.time_to_solution for run in solved if run.summary is not None]
    epochs = [run.summary.epochs for run in solved if run.summary is not None]
    few = f"a score takes {RUNS_OF_A_SCORE} runs" if len(solved) < RUNS_OF_A_SCORE else ""
    return SystemRow(
        benchmark=", ".join(folder.logged("dataset")),
        system=folder.name,
        runs=len(solved),
        seconds=score(solved),
        low=min(times, default=None),
        high=max(times, default=None),
        epochs=mean(epochs) if epochs else None,
        note=few if times else "no run reached the target",
    )


def _span(low: float | None, high: float | None) -> str:
    return UNDEFINED if low is None else f"{number(low, 1)} to {number(high, 1)}"
