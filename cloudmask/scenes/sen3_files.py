"""The files of a Sentinel-3 product, in its `.SEN3` folder or in a zip archive of that folder."""

from __future__ import annotations

import io
import stat
import zipfile
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path, PurePosixPath

from cloudmask.errors import SceneError

FOLDER_SUFFIX, ARCHIVE_SUFFIX = ".SEN3", ".zip"
ZARR_SUFFIX = ".zarr"  # of the folder of an EOPF product, which is known and refused

# A whole product has about 0.5 GB; no single file of one comes near this.
LARGEST_FILE_BYTES = 1 << 30

MANIFEST = "xfdumanifest.xml"
# What zipfile raises for an archive that it cannot read: NotImplementedError for compression
# methods and encryption that it lacks, UnicodeError for names of members that are not UTF-8.
UNREADABLE = (
    *(OSError, EOFError, zipfile.BadZipFile, zlib.error),
    *(NotImplementedError, UnicodeError),
)

NO_PRODUCT = "holds no NetCDF file: give a product's folder, or a zip archive of it, with its files"

# By file name: a function that gives the file's path, or its bytes in memory.
ProductFiles = Mapping[str, Callable[[], Path | io.BytesIO]]


def is_sen3(path: Path) -> bool:
    """Whether the path is a folder or a file with a product's suffix."""
    if path.is_dir():
        return path.suffix == FOLDER_SUFFIX
    return path.suffix == ARCHIVE_SUFFIX


@contextmanager
def open_product(path: Path) -> Iterator[ProductFiles]:
    """List the product's NetCDF files and its manifest by name.

    Nothing is unpacked to disk: a file of an archive is read into memory when it is asked for. A
    folder `X.SEN3/X.SEN3/`, as some unpackers make, is the product inside.

    Raises:
        SceneError: not a product, not a whole archive, or an archive with members that a careless
            unpacker would write elsewhere.
    """
    try:
        if path.is_dir():
            yield _folder_files(path)
        else:
            with zipfile.ZipFile(path) as archive:
                yield _members(path, archive)
    except FileNotFoundError as error:
        raise SceneError(f"{path.name}: the file does not exist; check its path") from error
    except UNREADABLE as error:
        reason = f"the file cannot be read ({' '.join(str(error).split())})"
        raise SceneError(f"{path.name}: {reason}; give a whole copy of it") from error


def _folder_files(folder: Path) -> ProductFiles:
    inner = folder / folder.name
    files = [x for x in (inner if inner.is_dir() else folder).iterdir() if _is_read(x.name)]
    if not files:
        raise SceneError(f"{folder.name}: {NO_PRODUCT}")
    return {file.name: partial(Path, file) for file in files}


def _members(path: Path, archive: zipfile.ZipFile) -> ProductFiles:
    members = {}
    for info in archive.infolist():
        name = PurePosixPath(info.filename)
        _refuse_path_traversal(path, name, info)
        if _is_read(name.name) and not info.is_dir():
            members[name] = partial(_read, path, archive, info)
    folders = {name.parent for name in members}
    if not folders:
        raise SceneError(f"{path.name}: {NO_PRODUCT}")
    if len(folders) > 1:
        raise SceneError(f"{path.name}: holds {len(folders)} folders of data; give one product")
    return {name.name: read for name, read in members.items()}


def _refuse_path_traversal(path: Path, name: PurePosixPath, info: zipfile.ZipInfo) -> None:
    outside = name.is_absolute() or ".." in name.parts or "\\" in info.filename
    if outside or stat.S_ISLNK(info.external_attr >> 16):
        raise SceneError(
            f"{path.name}: member {info.filename!r} points outside of the archive, which is "
            "refused; give a whole copy of the product"
        )


def _read(path: Path, archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> io.BytesIO:
    if info.file_size > LARGEST_FILE_BYTES:
        raise SceneError(
            f"{path.name}: {info.filename} unpacks to {info.file_size} bytes; too many"
        )
    if info.flag_bits & 1:
        raise SceneError(f"{path.name}: {info.filename} is encrypted; unpack the product first")
    return io.BytesIO(archive.read(info))


def _is_read(name: str) -> bool:
    return name.endswith(".nc") or name == MANIFEST
