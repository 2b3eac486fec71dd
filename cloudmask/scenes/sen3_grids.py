"""Grids of a product: where 0.5 km pixels and tie points lie on the 1 km grid.

Every grid counts rows from the start of the orbit (start offset) and columns from the left edge to
the ground track (track offset). Grids of one product need not begin at the same row: those of 2021
begin half a 1 km row early on the 0.5 km grid.
"""

from __future__ import annotations

import xml.etree.ElementTree as ET
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import distance_transform_edt, map_coordinates

from cloudmask.scenes.baseline import View

Plane = NDArray[np.float32]

TIE_POINT_KM = 16
# Grids of one product begin within this many 0.5 km rows of each other.
LARGEST_SHIFT = 4
GRID_NAMES = {"i": "1 km", "a": "0.5 km stripe A", "t": "Tie Points"}


@dataclass(frozen=True)
class Grid:
    """Offsets of a grid, in its own rows and columns."""

    start: int
    track: int


def grids_of_manifest(manifest: bytes, view: View) -> dict[str, Grid]:
    """The grids of a view by letter (`i`, `a`, `t`), as far as the manifest has them.

    Raises:
        ET.ParseError: the manifest is no XML.
    """
    found = {}
    for element in ET.fromstring(manifest).iter():
        if _local(element) == f"{view}ImageSize":
            values = {_local(child): child.text or "" for child in element}
            for letter, name in GRID_NAMES.items():
                if element.get("grid") == name:
                    found[letter] = Grid(int(values["startOffset"]), int(values["trackOffset"]))
    return found


def baseline_of_manifest(manifest: bytes) -> int | None:
    """The baseline collection that the manifest names.

    Raises:
        ET.ParseError: the manifest is no XML.
    """
    for element in ET.fromstring(manifest).iter():
        if _local(element) == "baselineCollection" and (element.text or "").strip().isdigit():
            return int(element.text or "")
    return None


def grid_of_attributes(attributes: Mapping[str, Any]) -> Grid | None:
    """The grid that the attributes of a product's file give."""
    if "start_offset" not in attributes or "track_offset" not in attributes:
        return None
    return Grid(*(int(np.ravel(attributes[name])[0]) for name in ("start_offset", "track_offset")))


def _local(element: ET.Element) -> str:
    return element.tag.rpartition("}")[2]


def shift_of(fine: Grid, coarse: Grid) -> tuple[int, int]:
    """Row and column of the 0.5 km grid's first pixel, counted from the 1 km grid's corner.

    Raises:
        ValueError: the grids do not lie on each other.
    """
    rows, columns = fine.start - 2 * coarse.start, 2 * coarse.track - fine.track
    if fine.start == coarse.start:  # early processors gave every grid the same number
        rows = 0
    if abs(rows) > LARGEST_SHIFT:
        raise ValueError(f"start offsets are {fine.start} at 0.5 km and {coarse.start} at 1 km")
    return rows, columns


def place(fine: NDArray[Any], shift: tuple[int, int], shape: tuple[int, int], fill: Any) -> Any:
    """The 0.5 km pixels (H, W) of a 1 km grid of `shape`, (2 rows, 2 columns); `fill` outside."""
    wanted = (2 * shape[0], 2 * shape[1])
    if shift == (0, 0) and fine.shape == wanted:
        return fine
    placed = np.full(wanted, fill, fine.dtype)
    source, target = zip(*map(_overlap, shift, fine.shape, wanted), strict=True)
    placed[target] = fine[source]
    return placed


def _overlap(shift: int, length: int, wanted: int) -> tuple[slice, slice]:
    """Where `length` pixels from `shift` on and `wanted` pixels from 0 on overlap, in each."""
    start, stop = max(shift, 0), max(min(shift + length, wanted), max(shift, 0))
    return slice(start - shift, stop - shift), slice(start, stop)


def interpolate(tie_points: Plane, tie: Grid, grid: Grid, shape: tuple[int, int]) -> Plane:
    """Values (rows, columns) of tie points on the 1 km grid of `shape`, linear between them.

    Tie points outside the swath have no value: the nearest that has one stands in for them.

    Raises:
        ValueError: no tie point has a value.
    """
    missing = np.isnan(tie_points)
    if missing.all():
        raise ValueError("no tie point has a value")
    nearest = distance_transform_edt(missing, return_distances=False, return_indices=True)
    # Tie points are 1 km apart along the track, so their rows are those of the 1 km grid.
    rows = np.arange(shape[0]) + (grid.start - tie.start)
    columns = (np.arange(shape[1]) - grid.track) / TIE_POINT_KM + tie.track
    coordinates = np.broadcast_arrays(rows[:, np.newaxis], columns)
    plane: Plane = map_coordinates(tie_points[tuple(nearest)], coordinates, order=1, mode="nearest")
    return plane
