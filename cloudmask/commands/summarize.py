"""`cloudmask summarize`: the runs of each system, and its score."""

from __future__ import annotations

import argparse
from pathlib import Path

from cloudmask.tables import FORMATS


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The folders of results, and the form of the tables."""
    parser.add_argument("folders", type=Path, nargs="+", metavar="DIR", help="folders of results")
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--format", choices=FORMATS, default=FORMATS[0], help="form of the tables")
    form.add_argument(
        "--json",
        dest="format",
        action="store_const",
        const="json",
        help="the same as --format json",
    )


def run(options: argparse.Namespace) -> int:
    """Print the tables."""
    from cloudmask.mlperf.score.summarize import summarize

    return summarize(options.folders, options.format)
