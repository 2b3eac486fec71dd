"""The HDF5 file of a scene: opened without surprises, its data sets checked before use."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import h5py
from numpy.typing import NDArray

from cloudmask.errors import InputError

# HDF5 would gather rows in a buffer of this size, by default larger than a row, and copy twice.
SIEVE_BYTES = 1
# Where a file is chunked, whole chunks are kept between bands; none is known to be larger.
CHUNK_CACHE_BYTES = 256 * 2**20
CHUNK_CACHE_SLOTS, CHUNK_CACHE_PREEMPTION = 521, 0.75  # HDF5's own values


class SceneError(InputError):
    """A scene that cannot be used; the message starts with the file's name."""


@contextmanager
def opened(path: Path) -> Iterator[h5py.File]:
    """The file for reading; whatever HDF5 says while it is open becomes one clear sentence."""
    try:
        with h5py.File(h5py.h5f.open(os.fsencode(path), h5py.h5f.ACC_RDONLY, _access())) as file:
            yield file
    except (OSError, RuntimeError, KeyError) as error:
        raise SceneError(f"{path.name}: {_reason(path, error)}") from error


def _access() -> h5py.h5p.PropFAID:
    access = h5py.h5p.create(h5py.h5p.FILE_ACCESS)
    access.set_fclose_degree(h5py.h5f.CLOSE_STRONG)
    # Locking would fail on read-only and on many parallel file systems, and nobody writes.
    access.set_file_locking(False, True)
    access.set_sieve_buf_size(SIEVE_BYTES)
    access.set_cache(0, CHUNK_CACHE_SLOTS, CHUNK_CACHE_BYTES, CHUNK_CACHE_PREEMPTION)
    return access


def _reason(path: Path, error: Exception) -> str:
    text = " ".join(str(error).replace(str(path), path.name).split())
    if not path.exists():
        return "the file is not there any more; fetch it again"
    if "truncated file" in text:
        return f"the file is truncated at {path.stat().st_size} bytes; fetch it again"
    if path.is_file() and "signature not found" in text:
        return "the file is not HDF5; remove it or fetch it again"
    return f"the file cannot be read ({text}); fetch it again"


def own_dataset(
    file: h5py.File,
    path: Path,
    name: str,
    shape: tuple[int | None, ...],
    kinds: str,
    also: tuple[int | None, ...] | None = None,
) -> h5py.Dataset:
    """A data set whose values lie inside this very file, with the shape and kind expected.

    A link or a layout that points elsewhere could make the reader open any file of the host, so
    these are refused rather than followed.

    Raises:
        SceneError: it is missing, elsewhere, or not as expected.
    """
    link = file.get(name, getlink=True)
    if link is None:
        raise SceneError(f"{path.name}: '{name}' is missing; the file is not what it should be")
    if not isinstance(link, h5py.HardLink):
        raise SceneError(
            f"{path.name}: '{name}' is a link to data elsewhere, which is refused; "
            "copy the data into the file"
        )
    data = file[name]
    if not isinstance(data, h5py.Dataset):
        raise SceneError(
            f"{path.name}: '{name}' is not a data set; the file is not what it should be"
        )
    if data.is_virtual or data.external:
        raise SceneError(
            f"{path.name}: '{name}' keeps its values in another file, which is refused; "
            "copy the data into the file"
        )
    if not any(_fits(data.shape, expected) for expected in (shape, also) if expected is not None):
        wanted = _shape_text(shape) + (f" or {_shape_text(also)}" if also else "")
        raise SceneError(f"{path.name}: '{name}' has shape {data.shape}, expected {wanted}")
    if data.dtype.kind not in kinds:
        wanted = "floating point" if kinds == "f" else "numbers"
        raise SceneError(f"{path.name}: '{name}' has type {data.dtype}, expected {wanted}")
    return data


def _fits(shape: tuple[int, ...] | None, expected: tuple[int | None, ...]) -> bool:
    return (
        shape is not None
        and len(shape) == len(expected)
        and all(want is None or have == want for have, want in zip(shape, expected, strict=True))
    )


def _shape_text(shape: tuple[int | None, ...]) -> str:
    return "(" + ", ".join("any" if length is None else str(length) for length in shape) + ")"


def read_rectangle(data: h5py.Dataset, rows: slice, columns: slice, out: NDArray[Any]) -> None:
    """`data.read_direct` for a rectangle of (rows, columns, n), at a tenth of what a call costs."""
    space = data.id.get_space()
    space.select_hyperslab((rows.start, columns.start, 0), out.shape)
    data.id.read(h5py.h5s.create_simple(out.shape), space, out)
