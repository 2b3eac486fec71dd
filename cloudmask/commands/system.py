"""`cloudmask system`: the system description of a submission."""

from __future__ import annotations

import argparse
import os
from pathlib import Path

_FIELDS = ("submitter", "division", "status", "system_name", "number_of_nodes")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Fields that the machine does not tell, and the file."""
    parser.add_argument("--submitter", default="", help="the organisation")
    parser.add_argument(
        "--division", choices=("open", "closed"), default="", help="division of the results"
    )
    parser.add_argument(
        "--status",
        choices=("cloud", "onprem", "preview", "research"),
        default="",
        help="availability of the system",
    )
    parser.add_argument(
        "--name",
        dest="system_name",
        default=os.environ.get("DGXSYSTEM", ""),
        help="name of the system (default: $DGXSYSTEM)",
    )
    parser.add_argument(
        "--nodes",
        dest="number_of_nodes",
        default=os.environ.get("DGXNNODES", ""),
        help="number of nodes (default: $DGXNNODES)",
    )
    parser.add_argument(
        "--set", action="append", default=[], metavar="FIELD=VALUE", help="any other field"
    )
    parser.add_argument("--output", type=Path, help="file to write, such as systems/NAME.json")
    parser.add_argument("--overwrite", action="store_true", help="replace an existing file")


def run(options: argparse.Namespace) -> int:
    """Print or write the description."""
    from cloudmask.mlperf.system_description import parse_fields, write_description

    given = {name: getattr(options, name) for name in _FIELDS} | parse_fields(options.set)
    given = {field: value for field, value in given.items() if value}
    return write_description(given, options.output, options.overwrite)
