"""Runs the official MLPerf tools with CloudMask's rules and convergence points added.

The tools of the `mlperf-logging` package read a benchmark's rules and convergence points from
inside the package. A temporary folder of symbolic links to the installed package, with CloudMask's
files added, is the overlay from which the unmodified tools run.
"""

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path

from cloudmask.mlperf.check.rcp import POINTS
from cloudmask.source import SOURCE_ROOT

USAGE = "hpc"
RULESET = "3.0.0"
RULES = Path(__file__).parent / "rules" / f"{USAGE}_{RULESET}"


@contextmanager
def mlperf_logging_overlay() -> Iterator[Path]:
    """A temporary folder to import `mlperf_logging` from, with CloudMask's files added."""
    spec = find_spec("mlperf_logging")
    if spec is None or not spec.submodule_search_locations:
        raise ModuleNotFoundError("mlperf_logging is not installed")
    installed = Path(spec.submodule_search_locations[0])
    ours = {
        "compliance_checker": sorted(RULES.glob("*.yaml")),
        "rcp_checker": [POINTS] if POINTS.is_file() else [],
    }
    with tempfile.TemporaryDirectory(prefix="cloudmask-check-") as folder:
        root = Path(folder).resolve()
        package = root / "mlperf_logging"
        _link_entries(installed, package, *ours)
        for tool, paths in ours.items():
            _link_entries(installed / tool, package / tool, RULES.name)
            names = [path.name for path in paths]
            _link_entries(installed / tool / RULES.name, package / tool / RULES.name, *names)
            for path in paths:
                _link(path, package / tool / RULES.name / path.name)
        yield root


def run_module(overlay: Path, *arguments: str) -> "subprocess.CompletedProcess[str]":
    """Run `python -m` with these arguments in a process that imports from the overlay."""
    # The overlay is the working folder, because -m looks there first. No byte code is written,
    # because the links point into the installed package.
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join([str(overlay), str(SOURCE_ROOT)]),
        "PYTHONDONTWRITEBYTECODE": "1",
        "PYTHONUTF8": "1",
    }
    return subprocess.run(
        [sys.executable, "-m", *arguments],
        cwd=overlay,
        env=environment,
        capture_output=True,
        encoding="utf-8",
        errors="replace",
        check=False,
    )


def _link_entries(source: Path, destination: Path, *excluded: str) -> None:
    destination.mkdir()
    for entry in source.iterdir():
        if entry.name not in ("__pycache__", *excluded):
            _link(entry, destination / entry.name)


def _link(source: Path, link: Path) -> None:
    """Link to a file or folder; copy it where links need a privilege, as on Windows."""
    try:
        link.symlink_to(source.resolve(), target_is_directory=source.is_dir())
    except OSError:
        if source.is_dir():
            shutil.copytree(source, link)
        else:
            shutil.copy(source, link)
