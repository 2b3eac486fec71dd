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
from contextlib import ExitStack, contextmanager
from importlib.util import find_spec
from pathlib import Path

from cloudmask.errors import InputError
from cloudmask.mlperf.check.rcp import POINTS
from cloudmask.source import SOURCE_ROOT

USAGE = "hpc"
RULESET = "3.0.0"
RULES = Path(__file__).parent / "rules" / f"{USAGE}_{RULESET}"


@contextmanager
def mlperf_logging_overlay() -> Iterator[Path]:
    """A temporary folder to import `mlperf_logging` from, with CloudMask's files added.

    Raises:
        InputError: the package is not installed, or no temporary folder can be made.
    """
    spec = find_spec("mlperf_logging")
    if spec is None or not spec.submodule_search_locations:
        raise _not_checked("the package mlperf-logging is not installed")
    installed = Path(spec.submodule_search_locations[0])
    ours = {
        "compliance_checker": sorted(RULES.glob("*.yaml")),
        "rcp_checker": [POINTS] if POINTS.is_file() else [],
    }
    with ExitStack() as stack:
        try:
            folder = tempfile.TemporaryDirectory(prefix="cloudmask-check-")
            root = Path(stack.enter_context(folder)).resolve()
            package = root / "mlperf_logging"
            _link_entries(installed, package, *ours)
            for tool, paths in ours.items():
                _link_entries(installed / tool, package / tool, RULES.name)
                names = [path.name for path in paths]
                _link_entries(installed / tool / RULES.name, package / tool / RULES.name, *names)
                for path in paths:
                    _link(path, package / tool / RULES.name / path.name)
        except OSError as error:
            raise _not_checked(f"{error.strerror}; set TMPDIR to a writable folder") from error
        yield root


def run_module(overlay: Path, *arguments: str) -> "subprocess.CompletedProcess[str]":
    """Run `python -m` with these arguments in a process that imports from the overlay.

    Raises:
        InputError: the tool cannot be started, which says nothing about what it should check.
    """
    # The overlay is the working folder, because -m looks there first. No byte code is written,
    # because the links point into the installed package.
    # Packages may come by PYTHONPATH alone, as from environment modules: it is kept.
    inherited = os.environ.get("PYTHONPATH")
    paths = (
        [str(Path(path).absolute()) for path in inherited.split(os.pathsep)] if inherited else []
    )
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join([str(overlay), str(SOURCE_ROOT), *paths]),
        "PYTHONDONTWRITEBYTECODE": "1",
        "PYTHONUTF8": "1",
    }
    try:
        done = subprocess.run(
            [sys.executable, "-m", *arguments],
            cwd=overlay,
            env=environment,
            capture_output=True,
            encoding="utf-8",
            errors="replace",
            check=False,
        )
    except OSError as error:
        raise _not_checked(str(error)) from error
    last = done.stderr.strip().rpartition("\n")[2]
    if done.returncode != 0 and last.startswith(("ModuleNotFoundError: ", "ImportError: ")):
        raise _not_checked(f"{last}; install the packages of requirements.txt for {sys.executable}")
    return done


def _not_checked(reason: str) -> InputError:
    return InputError(f"not checked: the official checker cannot be started ({reason})")


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
