"""Masks of people's own scenes: read, predicted, written, whatever becomes of other scenes."""

from __future__ import annotations

import hashlib
import os
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from tqdm import tqdm

from cloudmask.console import Console
from cloudmask.errors import EXIT_OK, InputError
from cloudmask.inference.whole_scene import Tiling, overlapped, predict_scene
from cloudmask.model.precision import Precision, choose_precision
from cloudmask.model.prediction import predictor
from cloudmask.model.weights import load_weights
from cloudmask.scenes.layout import SCENE_PATTERN
from cloudmask.scenes.mask_files import Provenance, cloudy, write_hdf5, write_netcdf
from cloudmask.scenes.scene import measured, normalise, read_mask, read_measurements
from cloudmask.scenes.sen3 import Observation, read_product
from cloudmask.scenes.sen3_files import ARCHIVE_SUFFIX, FOLDER_SUFFIX, is_package

EXIT_SOME_FAILED = 1
SUFFIXES = {"netcdf": ".nc", "hdf5": ".h5"}
PACKAGE_PATTERNS = ("S3?_SL_1_RBT*" + FOLDER_SUFFIX, "S3?_SL_1_RBT*" + ARCHIVE_SUFFIX)


@dataclass(frozen=True)
class MaskOptions:
    """What to mask, with what, and where to."""

    weights: Path
    scenes: Sequence[Path]
    """HDF5 scenes, products (`.SEN3` or zip), and folders that hold some at any depth."""
    output: Path
    format: str = "netcdf"
    """A key of `SUFFIXES`."""
    overwrite: bool = False
    tiling: Tiling = "whole"
    batch_size: int = 8
    precision: str = "auto"


def infer(options: MaskOptions) -> int:
    """Write a mask of every scene; returns 0, or 1 if any scene failed.

    A failed scene is named on standard error and the others are done. Masks that are already
    there are kept unless `overwrite`.

    Raises:
        InputError: before any scene is read: no scenes, two of one name, weights that cannot be
            used, or an output folder that cannot be written to.
    """
    scenes = find_scenes(options.scenes)
    masks = _plan(scenes, options)
    masker = Masker(options)
    console = Console(visible=True)
    wanted = [path for path, mask in masks.items() if options.overwrite or not mask.exists()]
    kept, written, failed = len(masks) - len(wanted), 0, 0

    def write(path: Path, predicted: tuple[Observation, NDArray[np.float32]]) -> str:
        return masker.write(path, masks[path], *predicted)

    with console.bar(len(wanted), "masks") as progress:
        for path, finding in overlapped(wanted, observe, masker.predict, write):
            try:
                tqdm.write(f"{masks[path].name}   {finding.result()}")
                written += 1
            except (InputError, OSError) as error:
                tqdm.write(f"cloudmask infer: failed: {_reason(path, error)}", file=sys.stderr)
                failed += 1
            progress(1)
    console.say(f"{written} masks written to {options.output}, {kept} kept, {failed} failed")
    return EXIT_SOME_FAILED if failed else EXIT_OK


def find_scenes(paths: Sequence[Path]) -> list[Path]:
    """The scenes and products among paths and, sorted, in those that are folders; each once.

    A path that is named is taken as it is; in a folder, names must look like a scene's.

    Raises:
        InputError: a path does not exist, or there is nothing to mask.
    """
    found: dict[Path, None] = {}
    for path in paths:
        if not path.exists():
            raise InputError(f"scene {path} does not exist: give files or folders of scenes")
        is_folder = path.is_dir() and not is_package(path)
        found.update(dict.fromkeys(sorted(_scenes_below(path)) if is_folder else [path]))
    if not found:
        places = " or ".join(map(str, paths))
        patterns = ", ".join((SCENE_PATTERN, *PACKAGE_PATTERNS))
        raise InputError(f"no scene in {places}: expected {patterns}")
    return list(found)


def _scenes_below(folder: Path) -> Iterator[Path]:
    for parent, folders, files in os.walk(folder):
        names = [*files, *(name for name in folders if name.endswith(FOLDER_SUFFIX))]
        for name in names:
            if any(fnmatch(name, pattern) for pattern in (SCENE_PATTERN, *PACKAGE_PATTERNS)):
                yield Path(parent, name)
        # What lies inside of a product is no scene of its own.
        folders[:] = [name for name in folders if not name.endswith(FOLDER_SUFFIX)]


def _plan(scenes: Sequence[Path], options: MaskOptions) -> dict[Path, Path]:
    """Scene to mask, in an output folder that can be written to."""
    output = options.output
    masks: dict[Path, Path] = {}
    owners: dict[str, Path] = {}
    for scene in scenes:
        name = _product_name(scene) + SUFFIXES[options.format]
        if name in owners:
            raise InputError(f"{owners[name]} and {scene} would both be {name}: give one of them")
        owners[name] = scene
        masks[scene] = output / name
    try:
        output.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=output):
            pass
    except OSError as error:
        raise InputError(f"output {output} cannot be written to ({error.strerror})") from error
    return masks


def _product_name(scene: Path) -> str:
    """`S3A_..._004` of `S3A_..._004.hdf`, `S3A_..._004.SEN3` and `S3A_..._004.SEN3.zip`."""
    return scene.name.removesuffix(ARCHIVE_SUFFIX).removesuffix(FOLDER_SUFFIX).removesuffix(".hdf")


class Masker:
    """A trained network, ready to mask scenes."""

    def __init__(self, options: MaskOptions) -> None:
        device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        self.options = options
        self.precision: Precision = choose_precision(options.precision, device)
        network = load_weights(options.weights).to(device)
        network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.network: nn.Module = predictor(network, self.precision.dtype)
        self.digest = hashlib.sha256(options.weights.read_bytes()).hexdigest()

    def predict(self, seen: Observation) -> tuple[Observation, NDArray[np.float32]]:
        """What was seen, with the cloud probability (1200, 1500), NaN where nothing was."""
        present = measured(seen.measurements)
        image = normalise(seen.measurements)
        probability = predict_scene(
            self.network, image, self.precision, self.options.batch_size, self.options.tiling
        )
        probability[~present] = np.nan
        return seen, probability

    def write(
        self, path: Path, mask: Path, seen: Observation, probability: NDArray[np.float32]
    ) -> str:
        """Write a scene's mask, and say what it shows.

        Raises:
            OSError: the mask cannot be written.
        """
        if self.options.format == "hdf5":
            write_hdf5(mask, probability)
        else:
            write_netcdf(mask, probability, seen.position, self._provenance(path))
        return _findings(probability, seen)

    def _provenance(self, path: Path) -> Provenance:
        return Provenance(
            product=_product_name(path),
            weights=self.options.weights.name,
            weights_sha256=self.digest,
            command=f"infer --weights {self.options.weights} --scenes {path}",
        )


def observe(path: Path) -> Observation:
    """What was seen of a scene, be it an HDF5 file or a product.

    Raises:
        SceneError: it cannot be read.
    """
    if is_package(path):
        return read_product(path)
    label, summary = (read_mask(path, name) for name in ("bayes", "summary"))
    return Observation(read_measurements(path), label, summary=summary)


def _findings(probability: NDArray[np.float32], seen: Observation) -> str:
    """Share of cloud, and how far the operational masks agree, over the pixels that were seen."""
    present = ~np.isnan(probability)
    if not present.any():
        return "no pixel was measured"
    mask = cloudy(probability[present]).astype(np.uint8)
    others = {"bayes": seen.label, "summary": seen.summary}
    agreements = (
        f"   as {name} {(mask == other[present]).mean():.4f}"
        for name, other in others.items()
        if other is not None
    )
    return f"cloud {mask.mean():.4f}{''.join(agreements)}"


def _reason(path: Path, error: Exception) -> str:
    return str(error) if isinstance(error, InputError) else f"{path.name}: {error}"
