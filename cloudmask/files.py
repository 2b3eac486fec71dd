"""Files: atomic replacement, preallocation of disk space, and the places for temporary ones."""

from __future__ import annotations

import ctypes
import errno
import multiprocessing
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from cloudmask.errors import InputError

PARTIAL = ".part"
FALLOC_FL_KEEP_SIZE = 1  # from <linux/falloc.h>


def make_writable_folder(folder: Path) -> None:
    """Make a folder if it is missing, and write a temporary file to it.

    Raises:
        OSError: the folder cannot be made or written to.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryFile(dir=folder):
        pass


def make_temporary_folder() -> Path:
    """Make a folder in TMPDIR, or where the system has temporary files.

    Raises:
        InputError: no such place can be written.
    """
    try:
        return Path(tempfile.mkdtemp(prefix="cloudmask-"))
    except OSError as error:
        raise InputError(
            f"no temporary folder can be made ({error.strerror}): set TMPDIR to a folder that can "
            "be written"
        ) from error


def require_shared_memory() -> None:
    """Make a semaphore, as worker processes need; on Linux it is a file in /dev/shm.

    Raises:
        InputError: it cannot be made.
    """
    try:
        multiprocessing.Semaphore()
    except OSError as error:
        raise InputError(
            f"/dev/shm cannot be written ({error.strerror}), and worker processes need it: mount a "
            "tmpfs there (docker run --tmpfs /dev/shm)"
        ) from error


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Give a temporary path to write; it becomes `path` if the block succeeds, else it is removed.

    Raises:
        OSError: the file cannot be moved to `path`.
    """
    partial = path.with_name(f"{path.name}.{os.getpid()}{PARTIAL}")
    try:
        yield partial
        os.replace(partial, path)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise


def write_durably(path: Path, data: bytes) -> None:
    """Write a file that is complete or absent, also after a crash or a power failure.

    Raises:
        OSError: it could not be written, as on a full disk; an earlier file of this name is kept.
    """
    with replacing(path) as partial, partial.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)  # the new name is durable too
    finally:
        os.close(folder)


def preallocate(path: Path, size: int) -> None:
    """Allocate so many bytes of disk space for a file, whose size does not change.

    Where the file system does not support that, nothing is allocated.

    Raises:
        OSError: the disk is full.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    if not hasattr(libc, "fallocate"):
        return
    with path.open("ab") as file:
        failed = libc.fallocate(
            file.fileno(), FALLOC_FL_KEEP_SIZE, ctypes.c_int64(0), ctypes.c_int64(size)
        )
    number = ctypes.get_errno()
    if failed and number not in (errno.EOPNOTSUPP, errno.ENOSYS):
        raise OSError(number, os.strerror(number), str(path))
