"""Where scenes are: the folders of a data set, and the search for scenes in folders."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from fnmatch import fnmatch
from pathlib import Path

from cloudmask.errors import InputError
from cloudmask.scenes.sen3_files import FOLDER_SUFFIX, ZARR_SUFFIX

# Folders of each subset; the second of a pair is that of older copies of the data set.
SUBSET_FOLDERS = {"training": ("training", "one-day"), "inference": ("inference", "ssts")}
SCENE_SUFFIX = ".hdf"
SCENE_PATTERN = f"S3[AB]*{SCENE_SUFFIX}"


def list_scenes(datadir: Path, subset: str) -> list[Path]:
    """List the scenes of a subset ('training' or 'inference'), sorted by path.

    Raises:
        InputError: `datadir` is missing, is not a folder, or holds no scene of this subset; a
            scene occurs twice, so that it could be trained on and validated on; or see
            `search_scenes`.
    """
    if not datadir.is_dir():
        problem = "is not a folder" if datadir.exists() else "does not exist"
        raise InputError(f"DATADIR {datadir} {problem}: give the folder that holds training/")
    folders = SUBSET_FOLDERS[subset]
    present = [path for folder in folders if os.path.lexists(path := datadir / folder)]
    scenes = sorted(search_scenes(present, [SCENE_PATTERN]))
    if not scenes:
        places = " or ".join(f"{folder}/" for folder in folders)
        raise InputError(
            f"DATADIR {datadir} holds no {subset} scene: expected files {SCENE_PATTERN} in {places}"
        )
    _refuse_equal_names(scenes)
    return scenes


def search_scenes(folders: Sequence[Path], patterns: Sequence[str]) -> Iterator[Path]:
    """Files, and folders of products, whose name matches a pattern, at any depth.

    Links to folders are followed, and no folder is searched twice, so that links may make loops.

    Raises:
        InputError: a folder cannot be read, or a link leads nowhere: scenes in it would be missed.
    """
    seen: set[tuple[int, int]] = set()
    for top in folders:
        for parent, subfolders, files in os.walk(top, onerror=_refuse_unread, followlinks=True):
            status = Path(parent).stat()
            if (status.st_dev, status.st_ino) in seen:
                subfolders.clear()
                continue
            seen.add((status.st_dev, status.st_ino))
            products = [name for name in subfolders if name.endswith((FOLDER_SUFFIX, ZARR_SUFFIX))]
            subfolders[:] = sorted(set(subfolders) - set(products))  # not inside products
            for name in [*files, *products]:
                path = Path(parent, name)
                if any(fnmatch(name, pattern) for pattern in patterns):
                    yield path
                elif not path.exists() and path.is_symlink():
                    raise InputError(
                        f"{path} is a link to {path.readlink()}, which does not exist: make it "
                        "available, or take the link out of the folder"
                    )


def _refuse_unread(error: OSError) -> None:
    raise InputError(
        f"folder {error.filename} cannot be read ({error.strerror}): make it readable, or take it "
        "out of the folder of scenes"
    ) from error


def _refuse_equal_names(scenes: Sequence[Path]) -> None:
    first: dict[str, Path] = {}
    twice = [scene for scene in scenes if first.setdefault(scene.name, scene) is not scene]
    if twice:
        scene = twice[0]
        others = f" (so are {len(twice) - 1} more)" if len(twice) > 1 else ""
        raise InputError(
            f"{scene.name} is in {first[scene.name].parent} and in {scene.parent}{others}: a scene "
            "that is there twice could be trained on and validated on; leave one of them out"
        )
