"""`cloudmask package`: a submission package."""

from __future__ import annotations

import argparse
from dataclasses import fields
from pathlib import Path

LAYOUTS = ("hpc", "science")  # MLPerf HPC, MLCommons Science


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The runs, and the package to make of them."""
    parser.add_argument("--layout", choices=LAYOUTS, required=True, help="rules of the package")
    parser.add_argument("--submitter", required=True, help="the organisation")
    parser.add_argument(
        "--runs", type=Path, nargs="+", required=True, help="folders of results, one a system"
    )
    parser.add_argument(
        "--output",
        "--out",
        dest="out",
        type=Path,
        required=True,
        help="folder for the package's folder",
    )
    parser.add_argument(
        "--dataset", default=argparse.SUPPRESS, help="data set of the results (default ds1)"
    )
    parser.add_argument(
        "--system-description", type=Path, nargs="+", default=(), help="<SYSTEM>.json of each"
    )
    parser.add_argument("--evaluation", type=Path, help="evaluation.json, for the science layout")
    parser.add_argument("--descriptor", help="name of the entry, in the science layout")


def run(options: argparse.Namespace) -> int:
    """Write the package, or list the objections."""
    from cloudmask.mlperf.package.command import package
    from cloudmask.mlperf.package.request import Request

    given = vars(options)
    names = [item.name for item in fields(Request) if item.name in given]
    return package(Request(**{name: given[name] for name in names}))
