"""The section that puts systems side by side."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from statistics import mean

from cloudmask.report.blocks import UNDEFINED, Section, Table, number
from cloudmask.report.runs import RunFolder
from cloudmask.report.timing import RUNS_OF_A_SCORE, score


@dataclass(frozen=True)
class Row:
    """One system's time to solution."""

    system: str
    runs: int
    """Runs that reached the target; of published figures, those that are told of."""
    seconds: float | None
    """The score; None without a run that reached the target."""
    interval: tuple[float, float] | None = None
    """Seconds between which the score, or the runs, lie."""
    epochs: float | None = None
    """Mean over the runs."""
    ratio: float | None = None
    """Seconds over those of the first row of the same data set."""
    dataset: str = ""
    note: str = ""
    published: bool = False
    """Taken from a publication rather than from a log."""


PUBLISHED = (
    Row("DGX-2, 32 V100", 1, 59 * 60.0, dataset="ds1", note="benchmark's page", published=True),
    Row(
        "Rivanna, A100",
        1,
        4302.0,
        epochs=100,
        dataset="ds1",
        note="University of Virginia; 100 epochs whatever the accuracy, which was 0.883",
        published=True,
    ),
)


def comparison_section(rows: Sequence[Row]) -> Section:
    """The table of the rows as they are."""
    cells = [
        [
            f"{row.system} (published)" if row.published else row.system,
            row.dataset,
            str(row.runs),
            number(row.seconds, 1),
            UNDEFINED
            if row.interval is None
            else f"{row.interval[0]:.1f} to {row.interval[1]:.1f}",
            number(row.epochs, 1),
            number(row.ratio, 2),
            row.note,
        ]
        for row in rows
    ]
    head = ["system", "data set", "runs", "seconds", "from, to", "epochs", "ratio", "note"]
    return Section(
        "systems",
        "Systems side by side",
        [
            "Times on different data sets cannot be compared: the ratio is to the first system of "
            "the same data set. From and to are the fastest and the slowest run, unless the note "
            "says otherwise. Published figures come from other programs, which read their data in "
            "other ways.",
            Table("Time to solution by system", head, cells),
        ],
    )


def system_rows(folders: Sequence[RunFolder]) -> list[Row]:
    """A row for each system, then the published figures."""
    rows = [*map(_row, folders), *PUBLISHED]
    first: dict[str, float] = {}
    for row in rows:
        if row.seconds:
            first.setdefault(row.dataset, row.seconds)
    return [
        replace(row, ratio=row.seconds / first[row.dataset]) if row.seconds else row for row in rows
    ]


def _row(folder: RunFolder) -> Row:
    solved = [run for run in folder.runs if run.reached_target]
    times = [run.summary.time_to_solution for run in solved if run.summary is not None]
    epochs = [run.summary.epochs for run in solved if run.summary is not None]
    few = f"a score takes {RUNS_OF_A_SCORE} runs" if len(solved) < RUNS_OF_A_SCORE else ""
    return Row(
        system=folder.name,
        runs=len(solved),
        seconds=score(solved),
        interval=(min(times), max(times)) if times else None,
        epochs=mean(epochs) if epochs else None,
        dataset=", ".join(folder.logged("dataset")),
        note=few if times else "no run reached the target",
    )
