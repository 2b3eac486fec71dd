"""The command `infer`: cloud masks of whole scenes, where one bad scene does not stop the others.

Scenes are read, predicted and written in a pipeline, one line of the console a mask.
"""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from tqdm import tqdm

from cloudmask.console import Console
from cloudmask.errors import EXIT_OK, EXIT_SOME_FAILED, InputError
from cloudmask.files import make_writable_folder
from cloudmask.inference.whole_scene import Tiling, overlapped, predict_scene
from cloudmask.model.precision import Precision, choose_precision
from cloudmask.model.prediction import inference_copy
from cloudmask.model.weights import load_weights
from cloudmask.scenes.baseline import View, mixed_baselines
from cloudmask.scenes.failures import SCENE_FAILURES, scene_failure
from cloudmask.scenes.mask_files import Provenance, is_cloud, write_hdf5, write_netcdf
from cloudmask.scenes.readers import find_scenes, product_name, read_scene
from cloudmask.scenes.scene import NOT_COMPUTED, Scene, normalise
from cloudmask.tables import counted

SUFFIXES = {"netcdf": ".nc", "hdf5": ".h5"}
VIEW_SUFFIXES: dict[View, str] = {"nadir": "", "oblique": "_oblique"}


@dataclass(frozen=True)
class MaskOptions:
    """Scenes to mask, the network and the output.

    Attributes:
        scenes: HDF5 scenes, products (`.SEN3` or zip), and folders that hold some at any depth.
        output: folder of the masks; made if missing.
        format: a key of `SUFFIXES`.
        overwrite: replace masks that exist; by default they are kept.
        view: of products; masks of the oblique view have names of their own.
    """

    weights: Path
    scenes: Sequence[Path]
    output: Path
    format: str = "netcdf"
    overwrite: bool = False
    tiling: Tiling = "whole"
    batch_size: int = 8
    precision: str = "auto"
    view: View = "nadir"


def infer(options: MaskOptions) -> int:
    """Write a mask of every scene; return 0, or 4 if any scene failed.

    A scene that fails is named on standard error, and the others are masked.

    Raises:
        InputError: before any scene is read: no scenes, two of one name, weights that cannot be
            used, or an output folder that cannot be written to.
    """
    masks = _mask_paths(find_scenes(options.scenes), options)
    masker = Masker(options)
    console = Console(visible=True)
    to_write = [path for path, mask in masks.items() if options.overwrite or not mask.exists()]
    kept, written, failed = len(masks) - len(to_write), 0, 0

    def read(path: Path) -> Scene:
        return read_scene(path, options.view)

    def write(path: Path, predicted: tuple[Scene, NDArray[np.float32]]) -> str:
        return masker.write(path, masks[path], *predicted)

    with console.bar(len(to_write), "masks") as progress:
        for path, summary in overlapped(to_write, read, masker.predict, write):
            try:
                tqdm.write(f"{masks[path].name}   {summary.result()}")
                written += 1
            except SCENE_FAILURES as error:
                reason = scene_failure(path, error)
                tqdm.write(f"cloudmask infer: failed: {reason}", file=sys.stderr)
                failed += 1
            progress(1)
    if warning := mixed_baselines(path.name for path in masks):
        console.say(f"note: {warning}")
    console.say(
        f"{counted(written, 'mask')} written to {options.output}, {kept} kept, {failed} failed"
    )
    return EXIT_SOME_FAILED if failed else EXIT_OK


def _mask_paths(scenes: Sequence[Path], options: MaskOptions) -> dict[Path, Path]:
    """Scene to mask, in an output folder that can be written to."""
    output = options.output
    masks: dict[Path, Path] = {}
    owners: dict[str, Path] = {}
    for scene in scenes:
        name = product_name(scene) + VIEW_SUFFIXES[options.view] + SUFFIXES[options.format]
        if name in owners:
            raise InputError(f"{owners[name]} and {scene} would both be {name}: give one of them")
        owners[name] = scene
        masks[scene] = output / name
    try:
        make_writable_folder(output)
    except OSError as error:
        raise InputError(f"output {output} cannot be written to ({error.strerror})") from error
    return masks


class Masker:
    """A trained network that masks scenes.

    Raises:
        InputError: the weights cannot be used, or the device lacks the precision.
    """

    def __init__(self, options: MaskOptions) -> None:
        device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        self.options = options
        self.precision: Precision = choose_precision(options.precision, device)
        network = load_weights(options.weights).to(device)
        network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.network: nn.Module = inference_copy(network, self.precision.dtype)
        self.digest = hashlib.sha256(options.weights.read_bytes()).hexdigest()

    def predict(self, scene: Scene) -> tuple[Scene, NDArray[np.float32]]:
        """The scene and its cloud probability (rows, columns), NaN where nothing was measured.

        The scene's channels are normalised in place.
        """
        probability = predict_scene(
            self.network,
            normalise(scene.channels),
            self.precision,
            self.options.batch_size,
            self.options.tiling,
        )
        probability[scene.not_measured] = np.nan
        return scene, probability

    def write(self, path: Path, mask: Path, scene: Scene, probability: NDArray[np.float32]) -> str:
        """Write a scene's mask; return its one-line summary.

        Raises:
            OSError: the mask cannot be written.
        """
        if self.options.format == "hdf5":
            write_hdf5(mask, probability)
        else:
            provenance = Provenance(
                product=product_name(path),
                weights=self.options.weights.name,
                weights_sha256=self.digest,
                command=f"infer --weights {self.options.weights} --scenes {path}"
                + f" --view {scene.view}" * (scene.view != "nadir"),
            )
            write_netcdf(mask, probability, scene.geolocation, provenance)
        return mask_summary(probability, scene)


def mask_summary(probability: NDArray[np.float32], scene: Scene) -> str:
    """Share of cloud, and agreement with the operational masks, over the pixels measured."""
    present = ~np.isnan(probability)
    if not present.any():
        return "no pixel was measured"
    mask = is_cloud(probability[present]).astype(np.uint8)
    operational = {"bayes": scene.label, "summary": scene.summary}
    agreements = (
        f"   as {name} {agreement:.4f}"
        for name, other in operational.items()
        if other is not None and (agreement := _agreement(mask, other[present])) is not None
    )
    notes = "".join(f"   ({note})" for note in scene.notes)
    return f"cloud {mask.mean():.4f}{''.join(agreements)}{notes}"


def _agreement(mask: NDArray[np.uint8], other: NDArray[np.uint8]) -> float | None:
    computed = other != NOT_COMPUTED
    return float((mask == other)[computed].mean()) if computed.any() else None
