"""Files that are in the destination already: present, corrupt, or to be fetched."""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

from cloudmask.errors import SceneError
from cloudmask.fetch.bucket import Bucket
from cloudmask.fetch.destination import Destination, UnsafePathError
from cloudmask.fetch.etag import EtagVerifier, sha256_and_etag
from cloudmask.fetch.manifest import ManifestEntry
from cloudmask.fetch.selection import SceneObject, printable_ascii
from cloudmask.scenes.hdf5 import MissingFilterError
from cloudmask.scenes.hdf5_scene import inspect_scene

QUARANTINE = "quarantine"


class FileState(Enum):
    """State of a scene's file in the destination."""

    PRESENT = "present"
    MISSING = "missing"
    """There is no file, or an older version, which stays until the transfer is complete."""
    UNVERIFIED = "unverified"
    """There is a file that has to be read to know its state."""
    CORRUPT = "corrupt"
    BLOCKED = "blocked"
    """Something that must not be replaced has the path."""


@dataclass(frozen=True)
class LocalFile:
    """A scene's file in the destination and its state."""

    scene: SceneObject
    state: FileState
    problem: str = ""
    entry: ManifestEntry | None = None
    """The manifest entry of a file that is present."""
    sha256: str = ""


def check_metadata(
    destination: Destination,
    scene: SceneObject,
    entry: ManifestEntry | None,
    reread: bool,
) -> LocalFile:
    """The state of a scene's file without reading it; with `reread`, no file is PRESENT unread."""
    try:
        status = destination.status(scene.path)
    except (OSError, UnsafePathError) as error:
        return _blocked(scene, error)
    if status is None:
        return LocalFile(scene, FileState.MISSING)
    if not stat.S_ISREG(status.st_mode):
        problem = "a link or folder has its name; remove that"
        return LocalFile(scene, FileState.BLOCKED, problem)
    if entry is not None and entry.etag != scene.etag:
        return LocalFile(scene, FileState.MISSING)
    if entry is not None and entry.describes(status) and not reread:
        return LocalFile(scene, FileState.PRESENT, entry=entry)
    return LocalFile(scene, FileState.UNVERIFIED)


def check_content(
    destination: Destination,
    scene: SceneObject,
    entry: ManifestEntry | None,
    bucket: Bucket,
    etags: EtagVerifier,
) -> LocalFile:
    """The state of a scene's file after reading it: PRESENT, CORRUPT or BLOCKED.

    The file must have the SHA-256 of its manifest entry or, without an entry, the bucket's ETag.
    """
    try:
        with os.fdopen(destination.open(scene.path, os.O_RDONLY), "rb") as file:
            descriptor, status = file.fileno(), os.fstat(file.fileno())
            problem = ""
            if status.st_size != scene.size:
                sha256, _ = sha256_and_etag(descriptor, status.st_size)
                problem = f"it has {status.st_size} bytes instead of {scene.size}"
            elif entry is not None:
                sha256, _ = sha256_and_etag(descriptor, scene.size)
                if sha256 != entry.sha256:
                    problem = "its SHA-256 is not the one in the manifest"
            else:
                sha256, is_match = etags.verify(
                    descriptor, scene.size, scene.etag, lambda: bucket.first_part_size(scene.key)
                )
                if is_match is None:
                    problem = "its ETag cannot be recomputed, and it is not in the manifest"
                elif not is_match:
                    problem = "its content does not match its ETag"
    except (OSError, UnsafePathError) as error:
        return _blocked(scene, error)
    problem = problem or schema_problem(destination.path / scene.path)
    if problem:
        return LocalFile(scene, FileState.CORRUPT, problem, sha256=sha256)
    checked_by = entry.checked_by if entry is not None else "etag"
    verified = ManifestEntry(
        scene.key, scene.size, scene.etag, sha256, status.st_mtime_ns, checked_by
    )
    return LocalFile(scene, FileState.PRESENT, entry=verified, sha256=sha256)


def quarantine(destination: Destination, path: str, scene: SceneObject, sha256: str) -> str:
    """Move a corrupt file to the quarantine folder; returns its new path in printable ASCII.

    The name ends with the start of the SHA-256, so the same content is kept only once. Raises as
    `Destination.rename` does.
    """
    target = f"{QUARANTINE}/{scene.path}.{sha256[:8]}"
    destination.rename(path, target)
    return printable_ascii(target)


def schema_problem(path: Path) -> str:
    """The reason why a file is not a valid scene; '' if it is one."""
    try:
        inspect_scene(path)
    except MissingFilterError:  # the file is whole: another transfer would bring the same
        return ""
    except SceneError as error:
        return printable_ascii(str(error))
    except Exception as error:  # HDF5 raises many kinds of errors for files made by others.
        return printable_ascii(f"{path.name}: HDF5 cannot read it ({error})")
    return ""


def _blocked(scene: SceneObject, error: OSError | UnsafePathError) -> LocalFile:
    reason = str(error)
    if isinstance(error, OSError):
        reason = f"cannot be read ({error.strerror or error})"
    return LocalFile(scene, FileState.BLOCKED, reason)
