"""The scenes of a data set in its folder."""

from __future__ import annotations

from pathlib import Path

from cloudmask.errors import InputError

# Folders of each subset; the second of a pair is that of older copies of the data set.
SUBSET_FOLDERS = {"training": ("training", "one-day"), "inference": ("inference", "ssts")}
SCENE_PATTERN = "S3[AB]*.hdf"


def list_scenes(datadir: Path, subset: str) -> list[Path]:
    """List the scenes of a subset ('training' or 'inference'), sorted by path.

    Raises:
        InputError: `datadir` is missing, is not a folder, or holds no scene of this subset.
    """
    if not datadir.is_dir():
        problem = "is not a folder" if datadir.exists() else "does not exist"
        raise InputError(f"DATADIR {datadir} {problem}: give the folder that holds training/")
    folders = SUBSET_FOLDERS[subset]
    scenes = sorted(
        path
        for folder in folders
        for path in (datadir / folder).rglob(SCENE_PATTERN)
        if path.is_file()
    )
    if not scenes:
        places = " or ".join(f"{folder}/" for folder in folders)
        raise InputError(
            f"DATADIR {datadir} holds no {subset} scene: expected files {SCENE_PATTERN} in {places}"
        )
    return scenes
