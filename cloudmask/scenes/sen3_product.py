"""Variables of an SLSTR Level-1 product: where they are, unpacked, and on which grid.

A product `S3?_SL_1_RBT____*.SEN3` keeps every variable in a NetCDF-4 file of its own. The two
letters at the end of a name are grid and view: `a` 0.5 km, `i` 1 km, `t` tie points; `n` nadir, `o`
oblique. Names and packing: "Product Data Format Specification - SLSTR Level 1 Products",
S3IPF.PDS.005.1.
"""

from __future__ import annotations

import xml.etree.ElementTree as ET
from contextlib import AbstractContextManager
from functools import cached_property
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from cloudmask.errors import SceneError
from cloudmask.scenes.baseline import View, baseline_of
from cloudmask.scenes.hdf5 import CheckedFile, Shape, open_hdf5
from cloudmask.scenes.sen3_files import MANIFEST, ProductFiles
from cloudmask.scenes.sen3_grids import (
    Grid,
    Plane,
    baseline_of_manifest,
    grid_of_attributes,
    grids_of_manifest,
)

ANY_PLANE: Shape = (None, None)

# A whole orbit at 0.5 km, twice; a few bytes of a hostile file can declare far more.
LARGEST_VARIABLE = 1 << 29


class Product:
    """The files of a product and a view of it.

    Variables are named without suffix: `S1_radiance` of grid `a` is `S1_radiance_an` in the file
    `S1_radiance_an.nc`, in the nadir view.
    """

    def __init__(self, name: str, files: ProductFiles, view: View) -> None:
        self.name = name
        self.files = files
        self.view = view

    def label(self, file: str, grid: str, variable: str = "") -> str:
        """How messages name a file, or a variable in it."""
        named = f": '{variable}_{self._suffix(grid)}'" if variable else ""
        return f"{self.name}: {file}_{self._suffix(grid)}.nc{named}"

    def has(self, file: str, grid: str) -> bool:
        """Whether the product has the file."""
        return f"{file}_{self._suffix(grid)}.nc" in self.files

    def read(self, file: str, variable: str, grid: str, shape: Shape = ANY_PLANE) -> Plane:
        """The variable's values, unpacked; NaN where it has its fill value.

        Raises:
            SceneError: the file or the variable is missing or damaged, or of another shape.
        """
        with self._open(file, grid) as netcdf:
            return _unpacked(self._checked(netcdf, file, variable, grid, shape, "fiu"))

    def read_optional(self, file: str, variable: str, shape: Shape) -> Plane | None:
        """A variable of the 1 km grid; None if the product has no such file or variable."""
        if not self.has(file, "i"):
            return None
        with self._open(file, "i") as netcdf:
            present = f"{variable}_{self._suffix('i')}" in netcdf
        return self.read(file, variable, "i", shape) if present else None

    def read_flags(
        self, file: str, variable: str, grid: str, shape: Shape = ANY_PLANE
    ) -> NDArray[np.unsignedinteger[Any]] | None:
        """Bits of a variable as they are stored; None if the product has no such file or variable.

        Raises:
            SceneError: the variable is damaged, or of another shape.
        """
        if not self.has(file, grid):
            return None
        name = f"{variable}_{self._suffix(grid)}"
        with self._open(file, grid) as netcdf:
            if name not in netcdf:
                return None
            stored: NDArray[Any] = self._checked(netcdf, file, variable, grid, shape, "iu")[...]
            # Some writers know signed integers alone: bits are the same.
            return stored.astype(f"u{stored.dtype.itemsize}")

    def read_orphans(self, file: str) -> Plane | None:
        """The orphan pixels of a variable of the 1 km grid; None if the product has none."""
        return self.read_optional(file, f"{file}_orphan", ANY_PLANE)

    def grid(self, letter: str, file: str) -> Grid:
        """The offsets of a grid: from the manifest, else from the attributes of a file on it.

        Raises:
            SceneError: neither has them.
        """
        if letter in self._manifest_grids:
            return self._manifest_grids[letter]
        with self._open(file, letter) as netcdf:
            grid = grid_of_attributes(netcdf.attrs)
        if grid is None:
            raise SceneError(
                f"{self.label(file, letter)} has no start_offset and track_offset, and the product "
                f"has no {MANIFEST}; give the whole product"
            )
        return grid

    @cached_property
    def baseline(self) -> int | None:
        """The baseline collection: from the manifest, else from the name."""
        found = self._manifest and self._parsed(baseline_of_manifest, self._manifest)
        return found or baseline_of(self.name)

    @cached_property
    def _manifest(self) -> bytes:
        if MANIFEST not in self.files:
            return b""
        manifest = self.files[MANIFEST]()
        return manifest.read_bytes() if hasattr(manifest, "read_bytes") else manifest.getvalue()

    @cached_property
    def _manifest_grids(self) -> dict[str, Grid]:
        if not self._manifest:
            return {}
        grids: dict[str, Grid] = self._parsed(grids_of_manifest, self._manifest, self.view)
        return grids

    def _parsed(self, function: Any, *arguments: Any) -> Any:
        try:
            return function(*arguments)
        except (ET.ParseError, KeyError, ValueError) as error:
            reason = " ".join(str(error).split())
            raise SceneError(
                f"{self.name}: {MANIFEST} cannot be read ({reason}); give the whole product"
            ) from error

    def _checked(
        self, netcdf: CheckedFile, file: str, variable: str, grid: str, shape: Shape, kinds: str
    ) -> h5py.Dataset:
        data = netcdf.checked(f"{variable}_{self._suffix(grid)}", shape, kinds=kinds)
        if data.size > LARGEST_VARIABLE:
            raise SceneError(
                f"{self.label(file, grid, variable)} has {data.size} values, more than any product "
                f"({LARGEST_VARIABLE}); give a whole copy of the product"
            )
        return data

    def _suffix(self, grid: str) -> str:
        return grid + self.view[0]

    def _open(self, file: str, grid: str) -> AbstractContextManager[CheckedFile]:
        label = self.label(file, grid)
        if not self.has(file, grid):
            raise SceneError(f"{label} is missing; give the whole product")
        return open_hdf5(self.files[f"{file}_{self._suffix(grid)}.nc"](), label)


def _unpacked(variable: h5py.Dataset) -> Plane:
    """CF packing: stored * `scale_factor` + `add_offset`, NaN where stored is `_FillValue`."""

    def attribute(name: str, default: float) -> Any:
        return np.ravel(variable.attrs.get(name, default))[0]

    stored = variable[...]
    values: Plane = stored.astype(np.float32)
    values *= np.float32(attribute("scale_factor", 1))
    values += np.float32(attribute("add_offset", 0))
    if "_FillValue" in variable.attrs:
        values[stored == attribute("_FillValue", 0)] = np.nan
    return values
