"""Programs of the project on torch's CUDA build over the stand-ins, and what they asked it for."""

from __future__ import annotations

import os
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.paths import ROOT
from tests.runs import narrow

GIB = 2**30
FAST = (
    *("--no-clear-caches", "--sample-seconds=0", "--workers=1", "--batch-size=2"),
    "--system=stand-ins",  # a run on GPUs needs the name of a system
)


@dataclass(frozen=True)
class Entry:
    """What one process asked for in one phase: an event, how often, and how many bytes in all."""

    rank: str
    process: int
    phase: str
    event: str
    count: int
    nbytes: int
    detail: str


@dataclass(frozen=True)
class Ledger:
    """What all processes of a program asked the stand-ins for; see `stand_ins/ledger.h`."""

    entries: list[Entry]

    def of(self, event: str, phase: str | None = None, rank: str = "0") -> Counter[str]:
        """Counts of an event by its detail, of a rank, in one phase or in all."""
        counts: Counter[str] = Counter()
        for entry in self.entries:
            if (entry.event, entry.rank) == (event, rank) and phase in (None, entry.phase):
                counts[entry.detail] += entry.count
        return counts

    def anywhere(self, event: str) -> list[Entry]:
        """The entries of an event in any process."""
        return [entry for entry in self.entries if entry.event == event]


@dataclass(frozen=True)
class Rehearsal:
    """The CUDA build and the stand-ins; runs programs on them."""

    site: Path
    libraries: Path
    ledgers: Path

    def variables(self, **stand_ins: str) -> dict[str, str]:
        """Environment of a program on the stand-ins; `gpus="2"` sets STAND_IN_GPUS, and so on."""
        ranks = narrow()
        (runtime,) = self.libraries.glob("libcudart.so.*")
        return {
            **ranks,
            "PYTHONPATH": f"{self.site}{os.pathsep}{ranks['PYTHONPATH']}",
            "LD_LIBRARY_PATH": str(self.libraries),
            "OMP_NUM_THREADS": "1",
            # Half of a start is the import of this torch, if it has to be compiled each time.
            "PYTHONDONTWRITEBYTECODE": "",
            "PYTHONPYCACHEPREFIX": str(self.site.parent / "bytecode"),
            "STAND_IN_RUNTIME": str(runtime),
            **{f"STAND_IN_{name.upper()}": value for name, value in stand_ins.items()},
        }

    def run(
        self, *arguments: object, **stand_ins: str
    ) -> tuple[subprocess.CompletedProcess[str], Ledger]:
        """Run Python with these arguments; returns the ended process and what it asked for."""
        ledger = self.ledgers / str(sum(1 for _ in self.ledgers.iterdir()))
        ledger.mkdir()
        done = subprocess.run(
            [sys.executable, *map(str, arguments)],
            cwd=ROOT,
            env={**os.environ, **self.variables(ledger=str(ledger), **stand_ins)},
            capture_output=True,
            text=True,
            timeout=300,
        )
        return done, Ledger(list(_entries(ledger)))

    def cloudmask(
        self, *arguments: object, **stand_ins: str
    ) -> tuple[subprocess.CompletedProcess[str], Ledger]:
        """Run a command of the project."""
        return self.run("-m", "cloudmask", *arguments, **stand_ins)


def _entries(folder: Path) -> Iterator[Entry]:
    for path in sorted(folder.iterdir()):
        rank, _, process = path.name.removeprefix("rank_").partition(".")
        for line in path.read_text().splitlines():
            phase, event, count, nbytes, detail = line.split("\t")
            yield Entry(rank, int(process), phase, event, int(count), int(nbytes), detail)
