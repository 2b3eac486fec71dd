"""`cloudmask synthesize`: synthetic scenes."""

from __future__ import annotations

import argparse
from pathlib import Path

from cloudmask.errors import EXIT_OK
from cloudmask.tables import counted


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The folder, the number of scenes and the seed."""
    from cloudmask.synthetic import generate

    parser.add_argument("--dest", type=Path, required=True, help="folder to fill")
    for flag, default, about in (
        ("--training-scenes", generate.DEFAULT_TRAINING_SCENES, "scenes to train on"),
        ("--inference-scenes", generate.DEFAULT_INFERENCE_SCENES, "scenes to evaluate"),
        ("--seed", generate.DEFAULT_SEED, "seed of the scenes: the same seed, the same scenes"),
    ):
        parser.add_argument(
            flag, type=int, default=default, metavar="N", help=f"{about} (default {default})"
        )
    parser.add_argument(
        "--like",
        choices=("ds1",),
        help="make a twin of this data set: scenes with its published statistics, and a label that "
        "errs; the log calls them twin",
    )
    parser.add_argument(
        "--global-batch",
        type=int,
        metavar="N",
        help="make more scenes to train on where those do not fill a global batch of N patches",
    )
    parser.add_argument(
        "--patch-size",
        type=int,
        default=256,
        metavar="N",
        help="side of those patches (default 256)",
    )


def run(options: argparse.Namespace) -> int:
    """Write the scenes that are missing."""
    from cloudmask.console import Console
    from cloudmask.machine.system.cgroups import usable_cores
    from cloudmask.patches.geometry import scenes_to_fill
    from cloudmask.synthetic.generate import synthesize

    console = Console(visible=True)
    training_scenes = options.training_scenes
    if options.global_batch:
        filled = scenes_to_fill(options.global_batch, options.patch_size)
        training_scenes = max(training_scenes, filled)
    counts = (training_scenes, options.inference_scenes)
    with console.bar(sum(counts), "scenes") as progress:
        dataset = "twin" if options.like else "synthetic"
        paths = synthesize(options.dest, *counts, options.seed, usable_cores(), progress, dataset)
    console.say(f"{counted(len(paths), 'scene', 'synthetic')} in {options.dest}")
    return EXIT_OK
