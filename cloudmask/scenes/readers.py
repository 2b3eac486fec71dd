"""Which files are scenes, and the reader of each: HDF5, `.SEN3` folder or zip archive of one."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from pathlib import Path

import h5py

from cloudmask.errors import InputError, SceneError
from cloudmask.scenes.baseline import View
from cloudmask.scenes.hdf5 import open_hdf5
from cloudmask.scenes.hdf5_scene import read_hdf5_scene
from cloudmask.scenes.layout import SCENE_PATTERN, SCENE_SUFFIX, search_scenes
from cloudmask.scenes.scene import Scene
from cloudmask.scenes.sen3 import read_sen3
from cloudmask.scenes.sen3_files import ARCHIVE_SUFFIX, FOLDER_SUFFIX, ZARR_SUFFIX, is_sen3

LEVEL_1 = "SL_1_RBT"
PRODUCT_PATTERN = f"S3?_{LEVEL_1}*"
PRODUCT_TYPE = re.compile(r"S3._([A-Z]{2}_\d_\w{3})")
PATTERNS = (SCENE_PATTERN, PRODUCT_PATTERN + FOLDER_SUFFIX, PRODUCT_PATTERN + ARCHIVE_SUFFIX)
# EOPF products, by the names of today and of the first samples: refused one by one, not missed.
REFUSED_PATTERNS = (PRODUCT_PATTERN + ZARR_SUFFIX, f"S*3SLSRBT*{ZARR_SUFFIX}")


def read_scene(path: Path, view: View = "nadir") -> Scene:
    """Read a scene of any supported format; only products have an oblique view.

    Raises:
        SceneError: the file is missing, damaged or incomplete, or lacks the view; the message is
            one sentence that starts with its name.
    """
    if is_sen3(path):
        _refuse_other_product(path)
        return read_sen3(path, view)
    if path.suffix != SCENE_SUFFIX and path.is_file() and os.access(path, os.R_OK):
        _refuse_other_file(path)
    if view != "nadir":
        raise SceneError(
            f"{path.name}: HDF5 scenes have the nadir view alone: give products for {view}"
        )
    return read_hdf5_scene(path)


def _refuse_other_product(path: Path) -> None:
    product_type = PRODUCT_TYPE.match(path.name)
    if product_type and product_type[1] != LEVEL_1:
        raise SceneError(
            f"{path.name}: the product is {product_type[1]}, which lacks the channels: give the "
            f"{LEVEL_1} product of the same time"
        )


def _refuse_other_file(path: Path) -> None:
    if path.absolute().parent.suffix == FOLDER_SUFFIX:
        raise SceneError(
            f"{path.name}: the file is one of a product: give its folder {path.absolute().parent}"
        )
    if not h5py.is_hdf5(path):
        problem = "is not HDF5"
    else:
        with open_hdf5(path, path.name) as file:
            if "refs" in file or "bts" in file:
                return
        problem = "has no 'refs' and 'bts'"
    raise SceneError(
        f"{path.name}: the file {problem}: give HDF5 scenes, or {LEVEL_1} products (a "
        f"{FOLDER_SUFFIX} folder or a zip archive of one)"
    )


def find_scenes(paths: Sequence[Path]) -> list[Path]:
    """List the scenes among paths and, sorted, in those that are folders; each once.

    A path that is given is taken whatever its name; in a folder, names must match a pattern.

    Raises:
        InputError: a path does not exist, or there is no scene; or see `search_scenes`.
    """
    found: dict[Path, None] = {}
    for path in paths:
        if not path.exists():
            raise InputError(f"scene {path} does not exist: give files or folders of scenes")
        is_folder = path.is_dir() and not is_sen3(path) and path.suffix != ZARR_SUFFIX
        found.update(dict.fromkeys(_search(path) if is_folder else [path]))
    if not found:
        places = " or ".join(map(str, paths))
        raise InputError(f"no scene in {places}: expected {', '.join(PATTERNS)}")
    return list(found)


def scenes_of_folder(folder: Path, option: str) -> list[Path]:
    """List scenes and products at any depth of the folder that an option gave, sorted by path.

    Raises:
        InputError: there is no such folder, or no scene in it; or see `search_scenes`.
    """
    if not folder.is_dir():
        raise InputError(f"{option} {folder} is not a folder: give one that holds scenes")
    scenes = _search(folder)
    if not scenes:
        raise InputError(f"{option} {folder} holds no scene: expected {', '.join(PATTERNS)}")
    return scenes


def _search(folder: Path) -> list[Path]:
    return sorted(search_scenes([folder], PATTERNS + REFUSED_PATTERNS))


def product_name(scene: Path) -> str:
    """`S3A_..._004` of `S3A_..._004.hdf`, `S3A_..._004.SEN3` and `S3A_..._004.SEN3.zip`."""
    return (
        scene.name.removesuffix(ARCHIVE_SUFFIX)
        .removesuffix(FOLDER_SUFFIX)
        .removesuffix(SCENE_SUFFIX)
    )
