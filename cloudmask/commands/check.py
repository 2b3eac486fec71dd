"""`cloudmask check`: the official rules, and our own."""

from __future__ import annotations

import argparse
from pathlib import Path


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The result files."""
    parser.add_argument("files", type=Path, nargs="+", metavar="FILE", help="result_N.txt of a run")
    parser.add_argument("--json", action="store_true", help="print the reports as JSON")


def run(options: argparse.Namespace) -> int:
    """Check the files."""
    from cloudmask.mlperf.check.command import check_files

    return check_files(options.files, as_json=options.json)
