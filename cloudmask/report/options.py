"""Options of the command `report`, in a module that is quick to import."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True)
class ReportOptions:
    """Options of `report`."""

    logs: Sequence[Path]
    """Folders to search for logs at any depth; each that contains logs is shown as a system."""
    evaluation: Path | None = None
    """`evaluation.json` or its folder."""
    weights: Path | None = None
    bayesian_screen: Path | None = None
    scenes: Sequence[Path] = field(default_factory=tuple)
    """Scenes to show, and folders to select some from."""
    quicklooks: int = 4
    """Scenes to select from each folder, evenly spaced in its sorted list."""
    output: Path = Path("report")
