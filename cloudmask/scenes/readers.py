"""Which files are scenes, and the reader of each: HDF5, `.SEN3` folder or zip archive of one."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from cloudmask.errors import InputError, SceneError
from cloudmask.scenes.baseline import View
from cloudmask.scenes.hdf5_scene import read_hdf5_scene
from cloudmask.scenes.layout import SCENE_PATTERN, search_scenes
from cloudmask.scenes.scene import Scene
from cloudmask.scenes.sen3 import read_sen3
from cloudmask.scenes.sen3_files import ARCHIVE_SUFFIX, FOLDER_SUFFIX, is_sen3

PRODUCT_PATTERN = "S3?_SL_1_RBT*"
PATTERNS = (SCENE_PATTERN, PRODUCT_PATTERN + FOLDER_SUFFIX, PRODUCT_PATTERN + ARCHIVE_SUFFIX)


def read_scene(path: Path, view: View = "nadir") -> Scene:
    """Read a scene of any supported format; only products have an oblique view.

    Raises:
        SceneError: the file is missing, damaged or incomplete, or lacks the view; the message is
            one sentence that starts with its name.
    """
    if is_sen3(path):
        return read_sen3(path, view)
    if view != "nadir":
        raise SceneError(
            f"{path.name}: HDF5 scenes have the nadir view alone: give products for {view}"
        )
    return read_hdf5_scene(path)


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
        is_folder = path.is_dir() and not is_sen3(path)
        found.update(
            dict.fromkeys(sorted(search_scenes([path], PATTERNS)) if is_folder else [path])
        )
    if not found:
        places = " or ".join(map(str, paths))
        raise InputError(f"no scene in {places}: expected {', '.join(PATTERNS)}")
    return list(found)


def product_name(scene: Path) -> str:
    """`S3A_..._004` of `S3A_..._004.hdf`, `S3A_..._004.SEN3` and `S3A_..._004.SEN3.zip`."""
    return scene.name.removesuffix(ARCHIVE_SUFFIX).removesuffix(FOLDER_SUFFIX).removesuffix(".hdf")
