"""Runs the official MLPerf tools with CloudMask's files where upstream would have them.

The tools of the `mlperf-logging` package look for a benchmark's rules and convergence points inside
the package, and CloudMask's are not there. So a temporary folder gets a view of the installed
package made of symbolic links, with ours added, and the tools are run from it, unmodified.
"""

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path

from cloudmask.mlperf.check.rcp import POINTS
from cloudmask.source import SOURCE_ROOT

USAGE = "hpc"
RULESET = "3.0.0"
RULES = Path(__file__).parent / "rules" / f"{USAGE}_{RULESET}"


@contextmanager
def overlay() -> Iterator[Path]:
    """A folder to import `mlperf_logging` from: links to the installed one, plus our files."""
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
        view = root / "mlperf_logging"
        _link_entries(installed, view, *ours)
        for tool, paths in ours.items():
            _link_entries(installed / tool, view / tool, RULES.name)
            names = [path.name for path in paths]
            _link_entries(installed / tool / RULES.name, view / tool / RULES.name, *names)
            for path in paths:
                (view / tool / RULES.name / path.name).symlink_to(path.resolve())
        yield root


def run_in(view: Path, module: Sequence[str]) -> "subprocess.CompletedProcess[str]":
    """Runs a module, given with its arguments, in a process that imports from the overlay."""
    # Run from the overlay, because -m looks in the working folder first; no byte code, because
    # the links lead into the installed package.
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join([str(view), str(SOURCE_ROOT)]),
        "PYTHONDONTWRITEBYTECODE": "1",
        "PYTHONUTF8": "1",
    }
    return subprocess.run(
        [sys.executable, "-m", *module],
        cwd=view,
        env=environment,
        capture_output=True,
        encoding="utf-8",
        errors="replace",
        check=False,
    )


def _link_entries(source: Path, destination: Path, *left_out: str) -> None:
    destination.mkdir()
    for entry in source.iterdir():
        if entry.name not in ("__pycache__", *left_out):
            (destination / entry.name).symlink_to(entry.resolve())
