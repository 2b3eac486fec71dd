"""`cloudmask package`: a submission package."""

from __future__ import annotations

import argparse
from dataclasses import fields
from pathlib import Path


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The runs, and the package to make of them."""
    from cloudmask.mlperf.package.request import LAYOUTS, Request

    parser.add_argument("--layout", choices=LAYOUTS, required=True, help="rules of the package")
    parser.add_argument("--submitter", required=True, help="the organisation")
    parser.add_argument(
        "--runs", type=Path, nargs="+", required=True, help="folders of results, one a system"
    )
    parser.add_argument("--out", type=Path, required=True, help="folder for the package's folder")
    parser.add_argument("--dataset", default=Request.dataset, help="data set of the results")
    parser.add_argument(
        "--system-description", type=Path, nargs="+", default=(), help="<SYSTEM>.json of each"
    )
    parser.add_argument("--evaluation", type=Path, help="evaluation.json, for the science layout")
    parser.add_argument("--descriptor", help="name of the entry, in the science layout")


def run(options: argparse.Namespace) -> int:
    """Write the package, or list the objections."""
    from cloudmask.mlperf.package.command import package
    from cloudmask.mlperf.package.request import Request

    names = [item.name for item in fields(Request)]
    return package(Request(**{name: getattr(options, name) for name in names}))
