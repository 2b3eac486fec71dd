"""`cloudmask infer`: masks of anybody's scenes."""

from __future__ import annotations

import argparse
from pathlib import Path

from cloudmask.commands import WEIGHTS_HELP


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The weights, the scenes and the masks."""
    parser.add_argument("--weights", type=Path, required=True, help=WEIGHTS_HELP)
    parser.add_argument(
        "--scenes", type=Path, nargs="+", required=True, help="scenes, products, folders of them"
    )
    parser.add_argument("--output", type=Path, required=True, help="folder for the masks")
    parser.add_argument(
        "--format",
        choices=("netcdf", "hdf5"),
        default="netcdf",
        help="form of the masks (default netcdf)",
    )
    parser.add_argument(
        "--tiling",
        choices=("whole", "reference"),
        default="whole",
        help="the scene in one pass (default), or the reference's 63 overlapping tiles",
    )
    parser.add_argument(
        "--view",
        choices=("nadir", "oblique"),
        default="nadir",
        help="view of products to mask (default nadir)",
    )
    parser.add_argument(
        "--threshold",
        type=float,
        default=0.5,
        metavar="P",
        help="cloud where the probability is above it (default 0.5; 0.1 for clear sky of "
        "probability 0.9, as SST asks)",
    )
    parser.add_argument("--overwrite", action="store_true", help="replace existing masks")
    parser.add_argument(
        "--workers",
        type=int,
        default=0,
        metavar="N",
        help="processes (default 0: one on each GPU, or one)",
    )
    parser.add_argument(
        "--shard",
        type=_shard,
        default=(1, 1),
        metavar="I/N",
        help="the I-th of N parts of the scenes, from 1; for job arrays",
    )
    parser.add_argument(
        "--json", action="store_true", help="print one JSON object instead of lines"
    )


def _shard(text: str) -> tuple[int, int]:
    part, _, parts = text.partition("/")
    if not (part.isdecimal() and parts.isdecimal() and 1 <= int(part) <= int(parts)):
        raise argparse.ArgumentTypeError(f"{text} is no part: give I/N with I from 1 to N")
    return int(part), int(parts)


def run(options: argparse.Namespace) -> int:
    """Mask the scenes."""
    from cloudmask.errors import InputError
    from cloudmask.inference.batch import BatchOptions
    from cloudmask.inference.command import MaskOptions, infer
    from cloudmask.inference.masker import NetworkOptions
    from cloudmask.model.weights import find_weights

    if options.workers < 0:
        raise InputError(f"--workers is {options.workers}: give 0 or more processes")
    weights = find_weights(options.weights)
    network = NetworkOptions(weights, options.threshold, options.tiling)
    batch = BatchOptions(network, options.format == "hdf5", options.view, options.workers)
    given = (options.scenes, options.output, options.overwrite, options.shard, options.json)
    return infer(MaskOptions(batch, *given))
