"""`cloudmask evaluate`: the network's masks beside others."""

from __future__ import annotations

import argparse
from dataclasses import fields
from pathlib import Path

from cloudmask.commands import WEIGHTS_HELP


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The weights, the scenes, the screens and the report."""
    from cloudmask.science.command import EvaluationOptions as Default

    parser.add_argument("--weights", type=Path, required=True, help=WEIGHTS_HELP)
    parser.add_argument("--scenes", type=Path, required=True, help="folder of scenes to evaluate")
    parser.add_argument("--training-scenes", type=Path, help="scenes to fit the Bayesian screen to")
    parser.add_argument("--bayesian-screen", type=Path, help="a fitted screen to use instead")
    parser.add_argument("--output", type=Path, help="folder for JSON, text and fitted screen")
    parser.add_argument(
        "--format", choices=("text", "json"), default=Default.format, help="of the output"
    )
    parser.add_argument("--min-sst", type=float, default=Default.min_sst, help="coldest water, K")
    parser.add_argument(
        "--positive-weight",
        type=float,
        default=Default.positive_weight,
        help="weight of cloudy pixels in the loss",
    )
    parser.add_argument("--batch-size", type=int, default=Default.batch_size, help="tiles at once")


def run(options: argparse.Namespace) -> int:
    """Evaluate."""
    from cloudmask.model.weights import find_weights
    from cloudmask.science.command import EvaluationOptions, evaluate

    names = [item.name for item in fields(EvaluationOptions)]
    options.weights = find_weights(options.weights)
    return evaluate(EvaluationOptions(**{name: getattr(options, name) for name in names}))
