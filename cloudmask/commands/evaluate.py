"""`cloudmask evaluate`: the network's masks beside others."""

from __future__ import annotations

import argparse
from dataclasses import fields
from pathlib import Path

from cloudmask.commands import WEIGHTS_HELP
from cloudmask.science.options import EvaluationOptions


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The weights, the scenes, the screens and the report."""
    parser.add_argument("--weights", type=Path, required=True, help=WEIGHTS_HELP)
    parser.add_argument("--scenes", type=Path, required=True, help="folder of scenes to evaluate")
    parser.add_argument("--training-scenes", type=Path, help="scenes to fit the Bayesian screen to")
    parser.add_argument("--bayesian-screen", type=Path, help="a fitted screen to use instead")
    parser.add_argument(
        "--matchups", type=Path, metavar="FILE", help="buoy match-ups: CSV, NetCDF-4 or HDF5"
    )
    parser.add_argument("--output", type=Path, help="folder for JSON, text and fitted screen")
    parser.add_argument(
        "--format",
        choices=("text", "json"),
        default=EvaluationOptions.format,
        help=f"form of what is printed (default {EvaluationOptions.format})",
    )
    parser.add_argument(
        "--min-sst",
        type=float,
        default=EvaluationOptions.min_sst,
        help=f"coldest water, K (default {EvaluationOptions.min_sst})",
    )
    parser.add_argument(
        "--positive-weight",
        type=float,
        default=EvaluationOptions.positive_weight,
        help=f"weight of cloudy pixels in the loss (default {EvaluationOptions.positive_weight})",
    )
    parser.add_argument(
        "--batch-size",
        type=int,
        default=EvaluationOptions.batch_size,
        help=f"tiles at once (default {EvaluationOptions.batch_size})",
    )
    parser.add_argument(
        "--workers",
        type=int,
        default=EvaluationOptions.workers,
        metavar="N",
        help=f"processes that evaluate scenes (default {EvaluationOptions.workers})",
    )


def run(options: argparse.Namespace) -> int:
    """Evaluate."""
    from cloudmask.model.weights import find_weights
    from cloudmask.science.command import evaluate

    names = [item.name for item in fields(EvaluationOptions)]
    options.weights = find_weights(options.weights)
    return evaluate(EvaluationOptions(**{name: getattr(options, name) for name in names}))
