"""Asks the official MLPerf package checker about a package in the HPC layout.

    python -m cloudmask.mlperf.package.official_checker FOLDER

prints what it objects to and exits with 1, or with 0 if it accepts the package.
"""

from __future__ import annotations

import re
import shutil
import sys
from pathlib import Path

from cloudmask.errors import EXIT_OK
from cloudmask.mlperf.check.command import EXIT_REFUSED
from cloudmask.mlperf.check.official_tools import overlay, run_in

CHECKED = ("systems", "results")
CHECKER = "cloudmask.mlperf.package.registered_checker"
SUCCESS = "PACKAGE CHECKER FOUND NO ERRORS, SUCCESS !"


def complaints(package: Path) -> list[str]:
    """What the official checker objects to in the package; nothing if it accepts it."""
    if not all((package / part).is_dir() for part in CHECKED):
        return [f"{package}: lacks {' or '.join(CHECKED)}: no package in the HPC layout"]
    with overlay() as view:
        # A copy, because the checker writes a factor beside results that it finds early.
        for part in CHECKED:
            shutil.copytree(package / part, view / "package" / part)
        done = run_in(view, [CHECKER, str(view / "package")])
    if SUCCESS in done.stderr:
        return []
    errors = re.findall(r"^ERROR - +(.*)$", done.stderr, re.MULTILINE)
    return errors or (done.stderr.strip().splitlines() or ["it printed nothing"])[-1:]


def main() -> int:
    """Check the folder that is the only argument; returns the exit code."""
    found = complaints(Path(sys.argv[1]))
    print("\n".join(found) or f"SUCCESS  {sys.argv[1]}")
    return EXIT_REFUSED if found else EXIT_OK


if __name__ == "__main__":
    sys.exit(main())
