"""What is in the destination already: which scenes need no transfer, and which are corrupt."""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

from cloudmask.errors import SceneError
from cloudmask.fetch.bucket import Source
from cloudmask.fetch.destination import Folder, UnsafePathError
from cloudmask.fetch.etag import EtagCheck, Verdict, read_digests
from cloudmask.fetch.manifest import Entry
from cloudmask.fetch.selection import Scene, printable
from cloudmask.scenes.hdf5_scene import inspect_scene

QUARANTINE = "quarantine"


class State(Enum):
    """What has to be done about a scene."""

    HERE = "here"
    MISSING = "missing"
    UNREAD = "unread"
    """There is a file, and only reading it can tell whether it is the scene."""
    OUTDATED = "outdated"
    """The bucket has newer content; the old file stays until that is complete."""
    CORRUPT = "corrupt"
    BLOCKED = "blocked"
    """Something is in the way that is not to be touched."""


@dataclass(frozen=True)
class Finding:
    """The state of one scene in the destination."""

    scene: Scene
    state: State
    reason: str = ""
    entry: Entry | None = None
    """What the manifest should say of a scene that is here."""
    sha256: str = ""


def glance(folder: Folder | None, scene: Scene, entry: Entry | None, reread: bool) -> Finding:
    """What can be told without reading the file; `reread` trusts no file unread."""
    if folder is None:
        return Finding(scene, State.MISSING)
    try:
        status = folder.status(scene.path)
    except UnsafePathError as error:
        return Finding(scene, State.BLOCKED, str(error))
    except OSError as error:
        return Finding(scene, State.BLOCKED, f"cannot be looked at ({error.strerror})")
    if status is None:
        return Finding(scene, State.MISSING)
    if not stat.S_ISREG(status.st_mode):
        return Finding(scene, State.BLOCKED, "a link or folder has its name; remove that")
    if entry is not None and entry.etag != scene.etag:
        return Finding(scene, State.OUTDATED)
    if entry is not None and entry.describes(status) and not reread:
        return Finding(scene, State.HERE, entry=entry)
    return Finding(scene, State.UNREAD)


def read_closely(
    folder: Folder, scene: Scene, entry: Entry | None, source: Source, etags: EtagCheck
) -> Finding:
    """The state of a file that has to be read: HERE, CORRUPT or BLOCKED.

    With an `entry`, the file must have the SHA-256 recorded; without one, the bucket's ETag.
    """
    try:
        descriptor = folder.open(scene.path, os.O_RDONLY)
    except UnsafePathError as error:
        return Finding(scene, State.BLOCKED, str(error))
    except OSError as error:
        return Finding(scene, State.BLOCKED, f"cannot be opened ({error.strerror})")
    try:
        return _compare(descriptor, folder, scene, entry, source, etags)
    except OSError as error:
        return Finding(scene, State.BLOCKED, f"cannot be read ({error.strerror})")
    finally:
        os.close(descriptor)


def quarantine(folder: Folder, path: str, scene: Scene, sha256: str) -> str:
    """Move a file out of the data set, keep it, and return its new path.

    The name holds the start of the content's SHA-256: the same bad content is kept only once.

    Raises:
        UnsafePathError: something else than a plain folder has quarantine's name.
        OSError: anything else the system says.
    """
    target = f"{QUARANTINE}/{scene.path}.{sha256[:8]}"
    folder.rename(path, target)
    return target


def schema_problem(path: Path) -> str:
    """Why a file is no scene; empty if it is one."""
    try:
        inspect_scene(path)
    except SceneError as error:
        return printable(str(error))
    except Exception as error:  # HDF5 has many ways of not coping with what a stranger wrote.
        return printable(f"{path.name}: HDF5 does not cope with it ({error})")
    return ""


def _compare(
    descriptor: int,
    folder: Folder,
    scene: Scene,
    entry: Entry | None,
    source: Source,
    etags: EtagCheck,
) -> Finding:
    status = os.fstat(descriptor)
    checked_by = "etag"
    if entry is not None or status.st_size != scene.size:
        sha256, _ = read_digests(descriptor, status.st_size, None)
    else:
        sha256, verdict = etags.examine(
            descriptor, scene.size, scene.etag, lambda: source.first_part_size(scene.key)
        )
    if status.st_size != scene.size:
        problem = f"it has {status.st_size} bytes instead of {scene.size}"
    elif entry is not None:
        checked_by = entry.checked_by
        problem = "" if sha256 == entry.sha256 else "its SHA-256 is not the one recorded"
    elif verdict is Verdict.UNKNOWN:
        problem = "nothing tells whether it is what the bucket holds"
    else:
        problem = "" if verdict is Verdict.MATCH else "its content is not what the bucket holds"
    if not problem:
        problem = schema_problem(folder.path / scene.path)
    if problem:
        return Finding(scene, State.CORRUPT, problem, sha256=sha256)
    verified = Entry(scene.key, scene.size, scene.etag, sha256, status.st_mtime_ns, checked_by)
    return Finding(scene, State.HERE, entry=verified, sha256=sha256)
