"""The destination: files are made below it and nowhere else, whatever links lie there.

Every path is walked from the destination's own descriptor, one folder at a time, and no symbolic
link is followed on the way: neither an old link nor one made in the meantime leads outside.
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
FILE_FLAGS = os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK  # non-blocking: a pipe must not hang us


class UnsafePathError(Exception):
    """Something that is not a plain file or folder is in the way; the message names it."""


class Folder:
    """A folder, and safe operations on paths relative to it ('/' between their parts)."""

    def __init__(self, path: Path, create: bool) -> None:
        """Opens the folder, made first where `create` says so.

        Raises:
            InputError: it does not exist, is not a folder, or cannot be made.
        """
        self.path = path
        try:
            if create:
                path.mkdir(parents=True, exist_ok=True)
            self._descriptor = os.open(path, FOLDER_FLAGS)
        except OSError as error:
            raise InputError(f"--dest {path}: {error.strerror}; give a folder to write") from error

    def lock(self) -> None:
        """Keep other fetches out until this process ends.

        Raises:
            InputError: another one is at work here.
        """
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise InputError(
                f"--dest {self.path}: another fetch is writing there; wait for it to end"
            ) from error
        except OSError:
            pass  # Some network file systems cannot lock a folder: there, this is up to the user.

    def close(self) -> None:
        """Give the folder up, and the lock with it."""
        os.close(self._descriptor)

    def free_bytes(self) -> int:
        """Bytes that an ordinary user can still write."""
        space = os.fstatvfs(self._descriptor)
        return space.f_bavail * space.f_frsize

    def open(self, relative: str, flags: int) -> int:
        """A descriptor of a plain file; with O_CREAT in `flags` its folders are made too.

        Raises:
            UnsafePathError: a link, a pipe or the like is in the way, or the file has a second name
                (a hard link) through which writing would reach elsewhere.
            FileNotFoundError: there is no such file.
            OSError: anything else the system says.
        """
        with self._parent(relative, create=bool(flags & os.O_CREAT)) as (parent, name):
            try:
                descriptor = os.open(name, flags | FILE_FLAGS, 0o644, dir_fd=parent)
            except OSError as error:
                if error.errno in (errno.ELOOP, errno.EMLINK, errno.ENXIO):
                    raise UnsafePathError(f"{relative!a} is not a plain file; remove it") from error
                raise
        found = os.fstat(descriptor)
        writable = flags & (os.O_WRONLY | os.O_RDWR)
        if not stat.S_ISREG(found.st_mode) or (writable and found.st_nlink != 1):
            os.close(descriptor)
            raise UnsafePathError(f"{relative!a} is not a plain file of its own; remove it")
        return descriptor

    def status(self, relative: str) -> os.stat_result | None:
        """What is at this path, links not followed; None for nothing.

        Raises:
            UnsafePathError: a folder on the way is none.
        """
        try:
            with self._parent(relative) as (parent, name):
                return os.stat(name, dir_fd=parent, follow_symlinks=False)
        except FileNotFoundError:
            return None

    def rename(self, source: str, target: str) -> None:
        """Give a file another name, atomically; what had the name before is gone.

        Raises:
            UnsafePathError: a folder on the way is none.
            OSError: anything else the system says.
        """
        folder, _, source_name = source.rpartition("/")
        if folder == target.rpartition("/")[0]:
            with self._parent(target) as (parent, target_name):
                os.rename(source_name, target_name, src_dir_fd=parent, dst_dir_fd=parent)
            return
        with (
            self._parent(source) as (source_parent, source_name),
            self._parent(target, create=True) as (target_parent, target_name),
        ):
            os.rename(source_name, target_name, src_dir_fd=source_parent, dst_dir_fd=target_parent)

    def remove(self, relative: str) -> None:
        """Remove a file (of a link, the link itself) if it is there."""
        with suppress(FileNotFoundError), self._parent(relative) as (parent, name):
            os.unlink(name, dir_fd=parent)

    def read(self, relative: str) -> bytes:
        """The content of a small file. Raises what `open` raises."""
        with os.fdopen(self.open(relative, os.O_RDONLY), "rb") as file:
            return file.read()

    def write(self, relative: str, content: bytes) -> None:
        """Write a file whole, or not at all: readers see the old content or the new."""
        unfinished = relative + ".part"
        self.remove(unfinished)
        descriptor = self.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL)
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(descriptor)
        self.rename(unfinished, relative)

    @contextmanager
    def _parent(self, relative: str, create: bool = False) -> Iterator[tuple[int, str]]:
        *folders, name = relative.split("/")
        descriptor = os.dup(self._descriptor)
        try:
            for folder in folders:
                below = _step_into(descriptor, folder, create)
                os.close(descriptor)
                descriptor = below
            yield descriptor, name
        finally:
            os.close(descriptor)


def _step_into(parent: int, folder: str, create: bool) -> int:
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
    with suppress(FileExistsError):  # Another worker may have made it since.
        os.mkdir(folder, dir_fd=parent)
    return _step_into(parent, folder, create=False)
