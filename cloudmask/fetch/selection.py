"""Which objects of a listing are scenes that were asked for, and where each may be stored.

Keys are chosen by whoever writes to the bucket. A key becomes a path only if the path is
harmless on every file system: relative, without `..`, and not the twin of another but for case.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass, field
from fnmatch import fnmatchcase

from cloudmask.scenes.layout import SCENE_PATTERN, SUBSET_FOLDERS

# File systems hold names of 255 bytes; the rest is for '.part.journal' and quarantine's suffix.
LONGEST_NAME = 240


@dataclass(frozen=True)
class Scene:
    """One object of the bucket that is a scene, as the listing describes it."""

    key: str
    path: str
    """Where it is stored, relative to the destination, with '/' between folders."""
    size: int
    etag: str
    """Without quotes; the server's name for this very content."""

    @property
    def shown(self) -> str:
        """The path as it may be printed."""
        return printable(self.path)


@dataclass
class Selection:
    """What a listing holds, sorted into scenes to fetch, scenes refused and all the rest."""

    scenes: list[Scene] = field(default_factory=list)
    refused: dict[str, str] = field(default_factory=dict)
    """Printable path of a scene that cannot be stored, and why."""
    others: int = 0
    """Objects left alone: not scenes, or not asked for."""
    folders: set[str] = field(default_factory=set)
    """First folders below the prefix."""


def select(
    objects: Iterable[tuple[str, int, str]],
    prefix: str,
    subset: str | None,
    include: str | None,
    limit: int | None,
) -> Selection:
    """The scenes asked for among `objects` (key, size, ETag), training first, then by path.

    A scene whose name is unsafe is refused, with the reason. Of scenes whose paths differ only
    in case the first is taken and the others are refused: many file systems hold only one.
    """
    selection = Selection()
    scenes: list[tuple[int, Scene]] = []
    wanted = [subset] if subset else list(SUBSET_FOLDERS)
    for key, size, etag in objects:
        path = key.removeprefix(prefix + "/")
        if path == key:  # Not below the prefix, whatever made the server list it.
            selection.others += 1
            continue
        folder, slash, _ = path.partition("/")
        if slash:
            selection.folders.add(printable(folder))
        rank = _subset_rank(folder)
        asked = (
            _looks_like_scene(path)
            and (rank is None or list(SUBSET_FOLDERS)[rank] in wanted)
            and (include is None or _matches(path, include))
        )
        problem = _problem(path) if asked else None
        if problem:
            selection.refused[printable(path)] = problem
        elif not asked or rank is None:
            selection.others += 1
        else:
            scenes.append((rank, Scene(key, path, size, etag)))
    scenes.sort(key=lambda ranked: (ranked[0], ranked[1].path))
    _take_distinct([scene for _, scene in scenes], limit, selection)
    return selection


def printable(text: str) -> str:
    """The text with everything that could move a terminal's cursor escaped."""
    return text if text.isprintable() and text.isascii() else ascii(text)[1:-1]


def _take_distinct(scenes: list[Scene], limit: int | None, selection: Selection) -> None:
    taken: dict[str, str] = {}
    for scene in scenes:
        if limit is not None and len(selection.scenes) == limit:
            return
        folded = unicodedata.normalize("NFC", scene.path).casefold()
        if folded in taken:
            selection.refused[scene.shown] = (
                f"its name differs only in case from {printable(taken[folded])}"
            )
            continue
        taken[folded] = scene.path
        selection.scenes.append(scene)


def _subset_rank(folder: str) -> int | None:
    for rank, folders in enumerate(SUBSET_FOLDERS.values()):
        if folder in folders:
            return rank
    return None


def _looks_like_scene(path: str) -> bool:
    name = path.rstrip("/").replace("\\", "/").rpartition("/")[2]
    return fnmatchcase(name, SCENE_PATTERN)


def _matches(path: str, include: str) -> bool:
    return fnmatchcase(path, include) or fnmatchcase(path.rpartition("/")[2], include)


def _problem(path: str) -> str | None:
    """Why a path must not be used below the destination; None if it may be."""
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
    if any(len(part.encode()) > LONGEST_NAME for part in parts):
        return f"a part of its name is longer than {LONGEST_NAME} bytes"
    return None
