"""Runs, system descriptions and an evaluation from which a package can be made."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cloudmask.mlperf.package.request import Request
from cloudmask.mlperf.system_description import FIELDS
from cloudmask.source import NoHistoryError, run_git
from tests.mlperf.timed_logs import Spoil, set_value, write_runs

TIMES = [100, 103, 98, 101, 99]


def head() -> str:
    """The commit of this repository that is checked out, or '' where there is no history."""
    try:
        return run_git("rev-parse", "HEAD").decode().strip()
    except NoHistoryError:
        return ""


def write_description(path: Path, **changes: Any) -> Path:
    """A description with all fields that the official checker asks for."""
    known = {
        "submitter": "Acme",
        "division": "open",
        "status": "onprem",
        "system_name": path.stem,
        "number_of_nodes": "2",
        "accelerators_per_node": "16",
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({**dict.fromkeys(FIELDS, ""), **known, **changes}))
    return path


def write_evaluation(path: Path, reference: str = "label") -> Path:
    """A small report in the form of `evaluate`."""

    def estimate(value: float) -> dict[str, float]:
        return {"value": value, "low": value - 0.01, "high": value + 0.01}

    def part(name: str) -> dict[str, Any]:
        masks = {"network": {name: estimate(0.91)}, "bayes": {name: estimate(0.95)}}
        return {"masks": masks, "differences": {"bayes": {name: estimate(-0.04)}}}

    report = {
        "format": "cloudmask-evaluation-1",
        "settings": {"weights": "weights_0.safetensors"},
        "scenes": ["a scene"],
        "references": {reference: part("accuracy")},
        "sst": part("contaminated"),
        "findings": ["No findings from 1 scene; evaluate 10 or more."],
        "notes": ["The label is the operational Bayesian mask itself."],
    }
    path.write_text(json.dumps(report))
    return path


@dataclass
class SubmissionFiles:
    """A folder with five good runs of one system, its description and an evaluation."""

    folder: Path

    def runs(self, name: str, *spoils: Spoil, times: list[int] = TIMES, **more: Any) -> Path:
        """Runs of the commit that is checked out, in a folder of their own."""
        write_runs(self.folder / name, times, *spoils, **{"commit": head(), **more})
        return self.folder / name

    def system(self, name: str, *spoils: Spoil) -> Path:
        """Runs of a system called so, and its description."""
        write_description(self.folder / "systems" / f"{name}.json")
        return self.runs(name, set_value("submission_platform", name), *spoils)

    def request(self, *runs: Path, **changes: Any) -> Request:
        """A request for a package of the runs, in the HPC layout if nothing else is said."""
        values: dict[str, Any] = {
            "layout": "hpc",
            "submitter": "Acme",
            "runs": runs,
            "out": self.folder / "out",
            "system_description": sorted((self.folder / "systems").glob("*.json")),
        }
        return Request(**{**values, **changes})
