"""`cloudmask report`: one page of everything."""

from __future__ import annotations

import argparse
import os
from dataclasses import fields
from pathlib import Path

from cloudmask.commands import WEIGHTS_HELP
from cloudmask.report.options import ReportOptions


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The logs, the evaluation, the scenes and the page."""
    parser.add_argument(
        "logs", type=Path, nargs="+", metavar="LOGS", help="folder of logs, such as logs/<system>"
    )
    parser.add_argument("--evaluation", type=Path, help="evaluation.json, or its folder")
    parser.add_argument("--weights", type=Path, help=f"{WEIGHTS_HELP}; for quick-looks")
    parser.add_argument(
        "--bayesian-screen",
        type=Path,
        help="fitted screen for quick-looks (default: the one beside the evaluation)",
    )
    parser.add_argument(
        "--scenes", type=Path, nargs="+", default=(), help="scenes to show, or folders of them"
    )
    parser.add_argument(
        "--quicklooks",
        type=int,
        default=ReportOptions.quicklooks,
        metavar="N",
        help=f"scenes to show of each folder (default {ReportOptions.quicklooks})",
    )
    parser.add_argument(
        "--output",
        type=Path,
        default=ReportOptions.output,
        help=f"folder for the page (default {ReportOptions.output})",
    )


def run(options: argparse.Namespace) -> int:
    """Write the page."""
    # A backend that is set for notebooks may not be there; ours needs no display.
    os.environ["MPLBACKEND"] = "agg"
    from cloudmask.model.weights import find_weights
    from cloudmask.report.command import report

    names = [item.name for item in fields(ReportOptions)]
    if options.weights is not None:
        options.weights = find_weights(options.weights)
    return report(ReportOptions(**{name: getattr(options, name) for name in names}))
