"""Selection of the objects of a listing that are scenes to fetch, and of a safe path for each.

Keys are chosen by whoever writes to the bucket. A key becomes a path only if it is safe on every
file system: relative, without `..`, and distinct from all others even if case is ignored.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import NamedTuple

from cloudmask.errors import InputError
from cloudmask.scenes.layout import SCENE_PATTERN, SUBSET_FOLDERS
from cloudmask.tables import counted

# File systems allow names of 255 bytes; the rest is for '.part.journal' and quarantine's suffix.
MAX_NAME_BYTES = 240


# The documented layout; the other folder names are those of older copies.
LAYOUT = {folders[0] for folders in SUBSET_FOLDERS.values()}


class ListedObject(NamedTuple):
    """One entry of a bucket's listing; the ETag is without quotes."""

    key: str
    size: int
    etag: str


@dataclass(frozen=True)
class SceneObject:
    """An object of the bucket that is a scene, as the listing describes it."""

    key: str
    path: str
    """Relative to the destination, with '/' between folders."""
    size: int
    """Bytes."""
    etag: str
    """Without quotes."""

    @property
    def display_path(self) -> str:
        """The path in printable ASCII."""
        return printable_ascii(self.path)


@dataclass
class Selection:
    """The objects of a listing: scenes to fetch, scenes refused, and the number of others."""

    scenes: list[SceneObject] = field(default_factory=list)
    refused: dict[str, str] = field(default_factory=dict)
    """Reason by printable path."""
    ignored: int = 0
    """Number of objects that are not scenes or were not asked for."""


def select_scenes(
    objects: Sequence[ListedObject],
    prefix: str,
    subset: str | None,
    include: str | None,
    limit: int | None,
) -> Selection:
    """Select the scenes asked for, training first, then sorted by path.

    A scene with an unsafe path is refused. Of scenes whose paths differ only in case, the first
    is selected and the others are refused, because many file systems store only one of them.

    Raises:
        InputError: none of the objects was asked for, or a subset is there under two names.
    """
    selection = Selection()
    scenes: list[tuple[int, SceneObject]] = []
    for key, size, etag in objects:
        path = key.removeprefix(prefix + "/")
        if path == key:  # A server may list keys outside the prefix.
            selection.ignored += 1
            continue
        subset_index = _subset_index(path)
        requested = (
            _is_scene_name(path)
            and (subset_index is None or subset in (None, list(SUBSET_FOLDERS)[subset_index]))
            and (include is None or _matches(path, include))
        )
        problem = _unsafe_path_reason(path) if requested else None
        if problem:
            selection.refused[printable_ascii(path)] = problem
        elif not requested or subset_index is None:
            selection.ignored += 1
        else:
            scenes.append((subset_index, SceneObject(key, path, size, etag)))
    scenes.sort(key=lambda item: (item[0], item[1].path))
    _add_distinct(selection, [scene for _, scene in scenes], limit)
    if not selection.scenes and not selection.refused:
        folders = join_folders(top_folders(objects, prefix))
        raise InputError(
            f"{prefix}/ holds {counted(len(objects), 'object')} in {folders}, but none that "
            "was asked for; check --subset and --include, or give a --prefix with scenes in "
            f"{join_folders(LAYOUT)}"
        )
    _refuse_double_subsets(selection, prefix)
    return selection


def top_folders(objects: Sequence[ListedObject], prefix: str) -> set[str]:
    """First folders below the prefix, in printable ASCII."""
    paths = [item.key[len(prefix) + 1 :] for item in objects if item.key.startswith(prefix + "/")]
    return {printable_ascii(path.partition("/")[0]) for path in paths if "/" in path}


def join_folders(folders: Collection[str]) -> str:
    """Folder names for a message: 'inference/, training/'."""
    return ", ".join(f"{folder}/" for folder in sorted(folders)) or "no folder"


def printable_ascii(text: str) -> str:
    """Escape everything but printable ASCII, so that no name can control a terminal."""
    return text if text.isprintable() and text.isascii() else ascii(text)[1:-1]


def _add_distinct(selection: Selection, scenes: list[SceneObject], limit: int | None) -> None:
    selected: dict[str, str] = {}
    for scene in scenes:
        if limit is not None and len(selection.scenes) == limit:
            return
        folded = unicodedata.normalize("NFC", scene.path).casefold()
        if folded in selected:
            selection.refused[scene.display_path] = (
                f"its name differs only in case from {printable_ascii(selected[folded])}"
            )
            continue
        selected[folded] = scene.path
        selection.scenes.append(scene)


def _refuse_double_subsets(selection: Selection, prefix: str) -> None:
    """A subset under both of its names would be trained on twice."""
    selected = {scene.path.partition("/")[0] for scene in selection.scenes}
    for subset, folders in SUBSET_FOLDERS.items():
        if selected.issuperset(folders):
            raise InputError(
                f"{prefix}/ holds {subset} scenes in both {join_folders(folders)}; "
                f"choose with --include '{folders[0]}/*'"
            )


def _subset_index(path: str) -> int | None:
    folder = path.partition("/")[0]
    for index, folders in enumerate(SUBSET_FOLDERS.values()):
        if folder in folders:
            return index
    return None


def _is_scene_name(path: str) -> bool:
    name = path.rstrip("/").replace("\\", "/").rpartition("/")[2]
    return fnmatchcase(name, SCENE_PATTERN)


def _matches(path: str, include: str) -> bool:
    return fnmatchcase(path, include) or fnmatchcase(path.rpartition("/")[2], include)


def _unsafe_path_reason(path: str) -> str | None:
    if "\\" in path:
        return "its name holds a backslash"
    if any(unicodedata.category(character) in ("Cc", "Cs") for character in path):
        return "its name holds a control character"
    if path.startswith("/"):
        return "its name is an absolute path"
    if path.endswith("/"):
        return "its name ends with a slash"
    parts = path.split("/")
    if any(part in ("", ".", "..") for part in parts):
        return "its name holds an empty, '.' or '..' folder"
    if any(len(part.encode()) > MAX_NAME_BYTES for part in parts):
        return f"a part of its name is longer than {MAX_NAME_BYTES} bytes"
    return None
