"""The command `infer`: cloud masks of scenes, where one bad scene does not stop the others."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tqdm import tqdm

from cloudmask.console import Console
from cloudmask.errors import EXIT_OK, EXIT_SOME_FAILED, InputError
from cloudmask.files import make_writable_folder
from cloudmask.inference.batch import BatchOptions, Outcome, make_masks
from cloudmask.inference.masker import provenance, sha256_of
from cloudmask.model.card import Card
from cloudmask.model.weights import load_weights_and_card
from cloudmask.scenes.baseline import View, mixed_baselines
from cloudmask.scenes.mask_attributes import WITHOUT_POSITIONS
from cloudmask.scenes.mask_files import read_attributes
from cloudmask.scenes.readers import find_scenes, product_name
from cloudmask.tables import counted

SUFFIXES = {"netcdf": ".nc", "hdf5": ".h5"}
VIEW_SUFFIXES: dict[View, str] = {"nadir": "", "oblique": "_oblique"}


@dataclass(frozen=True)
class MaskOptions:
    """Scenes to mask, the network and the output.

    Attributes:
        batch: the network and what the masks have in common.
        scenes: HDF5 scenes, products (`.SEN3` or zip), and folders that hold some at any depth.
        output: folder of the masks; made if missing.
        overwrite: replace masks that exist; by default they are kept.
        shard: (i, n): every n-th scene from the i-th on, counted from 1.
        json: print one JSON object instead of lines.
    """

    batch: BatchOptions
    scenes: Sequence[Path]
    output: Path
    overwrite: bool = False
    shard: tuple[int, int] = (1, 1)
    json: bool = False


def infer(options: MaskOptions) -> int:
    """Write a mask of every scene; return 0, or 4 if any scene failed or has a mask made otherwise.

    Such scenes are named on standard error, and the others are masked.

    Raises:
        InputError: before any scene is read: no scenes, two of one name, weights that cannot be
            used, or an output folder that cannot be written to.
    """
    network = options.batch.network
    card = load_weights_and_card(network.weights)[1]
    first, step = options.shard
    masks = _mask_paths(find_scenes(options.scenes), options)
    masks = dict(list(masks.items())[first - 1 :: step])
    console = Console(visible=not options.json)
    console.say(f"weights {network.weights.name}: {card.summary()}")
    existing = {} if options.overwrite else _existing(masks, options, card)
    to_write = {path: mask for path, mask in masks.items() if path not in existing}
    records = [
        {"scene": str(path), "mask": str(masks[path]), "status": "other" if reason else "kept"}
        | ({"reason": reason} if reason else {})
        for path, reason in existing.items()
    ]
    for reason in filter(None, existing.values()):
        _say_failed(reason)
    located = True
    with console.bar(len(to_write), "masks") as progress:
        for path, outcome in make_masks(to_write, options.batch):
            if outcome.failure:
                _say_failed(outcome.failure)
            elif console.visible:
                tqdm.write(f"{masks[path].name}   {outcome}")
            records.append(_record(path, masks[path], outcome))
            located &= outcome.located
            progress(1)
    if warning := mixed_baselines(path.name for path in masks):
        console.say(f"note: {warning}")
    if not located:
        console.say(f"note: {WITHOUT_POSITIONS}, in masks of scenes without positions")
    return _finish(records, options, card, console)


def _finish(
    records: Sequence[Mapping[str, Any]], options: MaskOptions, card: Card, console: Console
) -> int:
    number = {
        status: sum(record["status"] == status for record in records)
        for status in ("written", "kept", "other", "failed")
    }
    made_otherwise = f", {number['other']} made otherwise and kept" if number["other"] else ""
    console.say(
        f"{counted(number['written'], 'mask')} written to {options.output}, {number['kept']} kept"
        f"{made_otherwise}, {number['failed']} failed"
    )
    if options.json:
        network = options.batch.network
        report = {
            "weights": str(network.weights),
            "trained_on": card.trained_on,
            "threshold": network.threshold,
            **number,
            "masks": sorted(records, key=lambda record: str(record["scene"])),
        }
        print(json.dumps(report, indent=1, allow_nan=False))
    return EXIT_SOME_FAILED if number["other"] or number["failed"] else EXIT_OK


def _say_failed(reason: str) -> None:
    tqdm.write(f"cloudmask infer: failed: {reason}", file=sys.stderr)


def _record(path: Path, mask: Path, outcome: Outcome) -> dict[str, Any]:
    record: dict[str, Any] = {"scene": str(path), "mask": str(mask)}
    if outcome.failure:
        return record | {"status": "failed", "reason": outcome.failure}
    return record | {
        "status": "written",
        "cloud": outcome.cloud,
        "agreement": dict(outcome.agreement),
        "notes": list(outcome.notes),
        "seconds": round(outcome.seconds, 3),
    }


def _existing(masks: Mapping[Path, Path], options: MaskOptions, card: Card) -> dict[Path, str]:
    """Scenes whose masks exist: '' if they would be the same, else why that is not known."""
    network = options.batch.network
    expected = provenance(network, card, sha256_of(network.weights), "", "").made_with()
    existing = {}
    for path, mask in masks.items():
        if mask.exists():
            found = read_attributes(mask)
            differing = [name for name, value in expected.items() if found.get(name) != value]
            existing[path] = (
                f"{mask} exists and was made with another {' and '.join(differing)}: give "
                "--overwrite, or another --output"
                if differing
                else ""
            )
    return existing


def _mask_paths(scenes: Sequence[Path], options: MaskOptions) -> dict[Path, Path]:
    """Scene to mask, in an output folder that can be written to."""
    output, batch = options.output, options.batch
    suffix = VIEW_SUFFIXES[batch.view] + SUFFIXES["hdf5" if batch.hdf5 else "netcdf"]
    masks: dict[Path, Path] = {}
    owners: dict[str, Path] = {}
    for scene in scenes:
        name = product_name(scene) + suffix
        if name in owners:
            raise InputError(f"{owners[name]} and {scene} would both be {name}: give one of them")
        owners[name] = scene
        masks[scene] = output / name
    try:
        make_writable_folder(output)
    except OSError as error:
        raise InputError(f"output {output} cannot be written to ({error.strerror})") from error
    return masks
