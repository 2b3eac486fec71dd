"""Runs the official MLPerf package checker on a package in the HPC layout.

    python -m cloudmask.mlperf.package.official_checker FOLDER

prints the errors and exits with 1, or exits with 0 if the package is accepted.
"""

import re
import shutil
import sys
from pathlib import Path

from cloudmask.errors import EXIT_NO, EXIT_OK
from cloudmask.mlperf.check.official_tools import mlperf_logging_overlay, run_module

CHECKED = ("systems", "results")
CHECKER = "cloudmask.mlperf.package.registered_checker"
SUCCESS = "PACKAGE CHECKER FOUND NO ERRORS, SUCCESS !"


def package_errors(package: Path) -> list[str]:
    """The official checker's errors in the package; empty if it is accepted."""
    if not all((package / part).is_dir() for part in CHECKED):
        return [f"{package}: lacks {' or '.join(CHECKED)}: no package in the HPC layout"]
    with mlperf_logging_overlay() as overlay:
        # A copy, because the checker writes files into the results.
        for part in CHECKED:
            shutil.copytree(package / part, overlay / "package" / part)
        done = run_module(overlay, CHECKER, str(overlay / "package"))
    if SUCCESS in done.stderr:
        return []
    errors = re.findall(r"^ERROR - +(.*)$", done.stderr, re.MULTILINE)
    return errors or (done.stderr.strip().splitlines() or ["it printed nothing"])[-1:]


def main() -> int:
    """Check the folder that is the only argument; returns the exit code."""
    errors = package_errors(Path(sys.argv[1]))
    print("\n".join(errors) or f"SUCCESS  {sys.argv[1]}")
    return EXIT_NO if errors else EXIT_OK


if __name__ == "__main__":
    sys.exit(main())
