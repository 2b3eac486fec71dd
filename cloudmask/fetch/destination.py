"""The destination folder: files are written below it and nowhere else, whatever links it holds.

Every path is opened from the destination's own descriptor, one folder at a time, and symbolic
links are not followed: neither an old link nor one made during the fetch leads outside.
"""

from __future__ import annotations

import errno
import fcntl
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from cloudmask.errors import InputError

FOLDER_FLAGS = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
FILE_FLAGS = os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK  # opening a pipe must not block


class UnsafePathError(Exception):
    """Something at a path is not a plain file or folder; the message names it."""


class Destination:
    """A folder, and safe operations on paths relative to it, with '/' as separator.

    All operations on a path raise UnsafePathError if it, or a folder of it, is a link or not a
    plain file or folder, and OSError if they fail otherwise.
    """

    def __init__(self, path: Path, create: bool) -> None:
        """Open the folder; if it does not exist, make it or, without `create`, treat it as empty.

        Raises:
            InputError: it is not a folder, or cannot be made.
        """
        self.path = path
        existing = path
        try:
            if create:
                path.mkdir(parents=True, exist_ok=True)
            while not os.access(existing, os.F_OK) and existing != existing.parent:
                existing = existing.parent
            self._descriptor = os.open(existing, FOLDER_FLAGS)
        except OSError as error:
            raise InputError(f"--dest {path}: {error.strerror}; give a folder to write") from error
        self._exists = existing == path

    def lock(self) -> None:
        """Lock the folder against other fetches until this process ends.

        Raises:
            InputError: another fetch holds the lock.
        """
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise InputError(
                f"--dest {self.path}: another fetch is writing there; wait for it to end"
            ) from error
        except OSError:
            pass  # Some network file systems cannot lock a folder.

    def close(self) -> None:
        """Close the folder and release the lock."""
        os.close(self._descriptor)

    def free_bytes(self) -> int:
        """Free bytes of the file system for users without privileges."""
        space = os.fstatvfs(self._descriptor)
        return space.f_bavail * space.f_frsize

    def open(self, relative: str, flags: int) -> int:
        """Descriptor of a plain file; with O_CREAT in `flags`, missing folders are made too.

        A file to be written must have no second name (hard link).
        """
        with self._open_parent(relative, create=bool(flags & os.O_CREAT)) as (parent, name):
            try:
                descriptor = os.open(name, flags | FILE_FLAGS, 0o644, dir_fd=parent)
            except OSError as error:
                if error.errno in (errno.ELOOP, errno.EMLINK, errno.ENXIO):
                    raise UnsafePathError(f"{relative!a} is not a plain file; remove it") from error
                raise
        status = os.fstat(descriptor)
        writable = flags & (os.O_WRONLY | os.O_RDWR)
        if not stat.S_ISREG(status.st_mode) or (writable and status.st_nlink != 1):
            os.close(descriptor)
            raise UnsafePathError(f"{relative!a} is not a plain file of its own; remove it")
        return descriptor

    def status(self, relative: str) -> os.stat_result | None:
        """Status of the file, or of the link itself; None if it does not exist."""
        try:
            with self._open_parent(relative) as (parent, name):
                return os.stat(name, dir_fd=parent, follow_symlinks=False)
        except FileNotFoundError:
            return None

    def rename(self, source: str, target: str) -> None:
        """Rename a file atomically; an existing target is replaced."""
        with (
            self._open_parent(source) as (source_parent, source_name),
            self._open_parent(target, create=True) as (target_parent, target_name),
        ):
            os.rename(source_name, target_name, src_dir_fd=source_parent, dst_dir_fd=target_parent)

    def remove(self, relative: str) -> None:
        """Remove a file or link if it exists."""
        with suppress(FileNotFoundError), self._open_parent(relative) as (parent, name):
            os.unlink(name, dir_fd=parent)

    def read(self, relative: str) -> bytes:
        """The content of a small file."""
        with os.fdopen(self.open(relative, os.O_RDONLY), "rb") as file:
            return file.read()

    def write(self, relative: str, content: bytes) -> None:
        """Write a file atomically and durably: readers see the old content or the new."""
        unfinished = relative + ".part"
        self.remove(unfinished)
        descriptor = self.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL)
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(descriptor)
        self.rename(unfinished, relative)

    @contextmanager
    def _open_parent(self, relative: str, create: bool = False) -> Iterator[tuple[int, str]]:
        if not self._exists:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(self.path))
        *folders, name = relative.split("/")
        descriptor = os.dup(self._descriptor)
        try:
            for folder in folders:
                child = _open_folder(descriptor, folder, create)
                os.close(descriptor)
                descriptor = child
            yield descriptor, name
        finally:
            os.close(descriptor)


def _open_folder(parent: int, folder: str, create: bool) -> int:
    try:
        return os.open(folder, FOLDER_FLAGS | os.O_NOFOLLOW, dir_fd=parent)
    except FileNotFoundError:
        if not create:
            raise
    except OSError as error:
        if error.errno in (errno.ELOOP, errno.EMLINK, errno.ENOTDIR):
            raise UnsafePathError(
                f"{folder!a} is a link or a file, not a folder; remove it"
            ) from error
        raise
    with suppress(FileExistsError):  # Another worker may have made it meanwhile.
        os.mkdir(folder, dir_fd=parent)
    return _open_folder(parent, folder, create=False)
