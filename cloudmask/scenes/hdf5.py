"""Open and write HDF5 and NetCDF-4 files safely, and check their data sets before use."""

from __future__ import annotations

import io
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import h5py
from numpy.typing import NDArray

from cloudmask.errors import SceneError
from cloudmask.files import replacing

Shape = tuple[int | None, ...]

# HDF5 would gather rows in a buffer of this size, by default larger than a row, and copy twice.
SIEVE_BYTES = 1
# Of a chunked file, whole chunks are kept between bands; no known file has larger ones.
CHUNK_CACHE_BYTES = 256 * 2**20
CHUNK_CACHE_SLOTS, CHUNK_CACHE_PREEMPTION = 521, 0.75  # HDF5's own values

# Names of common filters, for files that do not give them: "Registered Filter Plugins", HDF Group.
FILTER_NAMES = {
    **{307: "bzip2", 32000: "LZF", 32001: "Blosc", 32004: "LZ4", 32008: "Bitshuffle"},
    **{32013: "ZFP", 32015: "Zstandard", 32017: "SZ", 32026: "Blosc2"},
}


class MissingFilterError(SceneError):
    """The file is whole, but this machine lacks an HDF5 filter that reading it needs."""


class CheckedFile(h5py.File):  # type: ignore[misc]  # h5py has no types
    """An open file whose errors start with `label`."""

    label: str

    def checked(self, name: str, *shapes: Shape, kinds: str) -> h5py.Dataset:
        """The data set `name`, of one of the `shapes` and of a NumPy kind in `kinds`.

        Its values must be in this file. Links and layouts that point elsewhere could make the
        reader open any file of the host, so they are refused.

        Raises:
            SceneError: the data set is missing, stored elsewhere, or of another shape or type.
            MissingFilterError: it is compressed with a filter that is not installed.
        """
        # HDF5's own calls: thousands of scenes are inspected, and h5py's take twice the time.
        stored_name = name.encode()
        if not self.id.links.exists(stored_name):
            raise SceneError(f"{self.label}: '{name}' is missing; give a scene that has it")
        if self.id.links.get_info(stored_name).type != h5py.h5l.TYPE_HARD:
            raise self._refused(name, "is a link to data elsewhere")
        stored = h5py.h5o.open(self.id, stored_name)
        if not isinstance(stored, h5py.h5d.DatasetID):
            raise SceneError(
                f"{self.label}: '{name}' is not a data set; give a whole copy of the scene"
            )
        creation = stored.get_create_plist()
        if creation.get_layout() == h5py.h5d.VIRTUAL or creation.get_external_count() > 0:
            raise self._refused(name, "keeps its values in another file")
        data = h5py.Dataset(stored)
        if not any(_fits(data.shape, shape) for shape in shapes):
            wanted = " or ".join(map(_shape_text, shapes))
            raise SceneError(f"{self.label}: '{name}' has shape {data.shape}, expected {wanted}")
        if data.dtype.kind not in kinds:
            wanted = "floating point" if kinds == "f" else "numbers"
            raise SceneError(f"{self.label}: '{name}' has type {data.dtype}, expected {wanted}")
        self._require_filters(name, creation)
        return data

    def _require_filters(self, name: str, creation: h5py.h5p.PropDCID) -> None:
        """Refuse compression that the installed HDF5 cannot undo, before any value is read."""
        for index in range(creation.get_nfilters()):
            number, _, _, stored_name = creation.get_filter(index)
            if not h5py.h5z.filter_avail(number):
                title = stored_name.decode(errors="replace") or FILTER_NAMES.get(number, "no name")
                raise MissingFilterError(
                    f"{self.label}: '{name}' needs HDF5 filter {number} ({title}), which is not "
                    "installed: install it, for instance the package hdf5plugin with "
                    "HDF5_PLUGIN_PATH, or write the file with gzip"
                )

    def _refused(self, name: str, reason: str) -> SceneError:
        return SceneError(
            f"{self.label}: '{name}' {reason}, which is refused; copy the data into the file"
        )


@contextmanager
def open_hdf5(source: Path | io.BytesIO, label: str) -> Iterator[CheckedFile]:
    """Open a file, or its bytes in memory, for reading.

    Raises:
        SceneError: the file cannot be opened, or HDF5 failed while it was open; the message is
            one sentence that starts with `label`.
    """
    if isinstance(source, Path) and source.is_dir():
        kind = "an EOPF Zarr product" if source.suffix == ".zarr" else "a folder"
        raise SceneError(
            f"{label}: this is {kind}, which is not read: give an HDF5 scene, or the .SEN3 folder "
            "of a product, or a zip archive of one"
        )
    try:
        handle: Any = source
        if isinstance(source, Path):
            handle = h5py.h5f.open(os.fsencode(source), h5py.h5f.ACC_RDONLY, _access())
        with CheckedFile(handle, "r") as file:
            file.label = label
            yield file
    except (OSError, RuntimeError, KeyError, ValueError) as error:
        raise SceneError(f"{label}: {_reason(source, error)}; give a whole copy of it") from error


@contextmanager
def replacing_hdf5(path: Path, file_type: Any = h5py.File) -> Iterator[Any]:
    """Write a file that becomes `path` if the block succeeds; else an earlier one is kept.

    It is written without HDF5's file locking, which many parallel file systems refuse. `file_type`
    is h5py.File, or h5netcdf.File for NetCDF-4.

    Raises:
        OSError: the file cannot be written.
    """
    with replacing(path) as partial, file_type(partial, "w", locking=False) as file:
        yield file


def _access() -> h5py.h5p.PropFAID:
    access = h5py.h5p.create(h5py.h5p.FILE_ACCESS)
    access.set_fclose_degree(h5py.h5f.CLOSE_STRONG)
    # Locking would fail on read-only and on many parallel file systems, and nobody writes.
    access.set_file_locking(False, True)
    access.set_sieve_buf_size(SIEVE_BYTES)
    access.set_cache(0, CHUNK_CACHE_SLOTS, CHUNK_CACHE_BYTES, CHUNK_CACHE_PREEMPTION)
    return access


def _reason(source: Path | io.BytesIO, error: Exception) -> str:
    text = " ".join(str(error).split())
    if isinstance(source, Path):
        if not source.exists():
            return "the file does not exist"
        text = text.replace(str(source), source.name)
        size = source.stat().st_size
    else:
        size = source.getbuffer().nbytes
    if "truncated file" in text:
        return f"the file is truncated at {size} bytes"
    if "signature not found" in text:
        return "the file is not HDF5"
    return f"the file cannot be read ({text})"


def _fits(shape: tuple[int, ...] | None, expected: Shape) -> bool:
    return (
        shape is not None
        and len(shape) == len(expected)
        and all(want is None or have == want for have, want in zip(shape, expected, strict=True))
    )


def _shape_text(shape: Shape) -> str:
    return "(" + ", ".join("any" if length is None else str(length) for length in shape) + ")"


def read_rectangle(data: h5py.Dataset, rows: slice, columns: slice, out: NDArray[Any]) -> None:
    """`data.read_direct` for a rectangle of (rows, columns, n), at a tenth of its fixed cost."""
    space = data.id.get_space()
    space.select_hyperslab((rows.start, columns.start, 0), out.shape)
    data.id.read(h5py.h5s.create_simple(out.shape), space, out)
