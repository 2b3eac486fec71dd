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
        "--format", choices=("netcdf", "hdf5"), default="netcdf", help="of the masks"
    )
    parser.add_argument(
        "--tiling",
        choices=("whole", "reference"),
        default="whole",
        help="the scene in one pass, or the reference's 63 overlapping tiles",
    )
    parser.add_argument("--view", choices=("nadir", "oblique"), default="nadir", help="of products")
    parser.add_argument("--overwrite", action="store_true", help="replace existing masks")


def run(options: argparse.Namespace) -> int:
    """Mask the scenes."""
    from cloudmask.inference.command import MaskOptions, infer
    from cloudmask.model.weights import find_weights

    names = ("weights", "scenes", "output", "format", "overwrite", "tiling", "view")
    options.weights = find_weights(options.weights)
    return infer(MaskOptions(**{name: getattr(options, name) for name in names}))
