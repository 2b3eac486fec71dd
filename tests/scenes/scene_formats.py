"""One scene's pixels in every format that a scene can have, and ways to break each file."""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import h5py
import numpy as np

from tests.scenes.sen3_product import (
    BT_OFFSET,
    BT_SCALE,
    COLUMNS,
    FILL,
    OCEAN,
    PRODUCT,
    RADIANCE_SCALE,
    ROWS,
    SUMMARY_CLOUD,
    Content,
    write_product,
    zip_product,
)

SHAPE = (ROWS, COLUMNS)
# With this irradiance (mW m-2 nm-1) and the sun overhead, one count is a reflectance of 1e-4.
IRRADIANCE = 100 * np.pi
REFLECTANCE_SCALE = RADIANCE_SCALE * np.pi / IRRADIANCE

BLOCK = (slice(401, 461), slice(703, 783))  # where every pixel differs from its neighbours
BORDER = 7  # rows at the top without measurements
ONE_OF_FOUR, ALL_FOUR = (410, 710), (411, 712)  # pixels in which so many fine ones are missing
COLD_MISSING = (412, 715)  # S8 is missing, all other channels are there


class Pixels:
    """What the scene holds: one value, but for `BLOCK`, the border and single missing pixels.

    Counts are those of the product's packing.
    """

    def __init__(self) -> None:
        rng = np.random.default_rng(5)
        block = (BLOCK[0].stop - BLOCK[0].start, BLOCK[1].stop - BLOCK[1].start)
        # Mean 0 over four fine pixels, and -1 over those that are left without the last.
        offsets = np.tile(np.array([[-3, -1], [1, 3]], np.int16), block)
        self.radiances, self.temperatures, refs = [], [], []
        for _ in range(6):
            coarse = np.full(SHAPE, 4000, np.int16)
            coarse[BLOCK] = rng.integers(20, 9000, block)
            fine = coarse.repeat(2, axis=0).repeat(2, axis=1)
            fine[_fine(*BLOCK)] += offsets
            fine[: 2 * BORDER] = coarse[:BORDER] = FILL
            row, column = ONE_OF_FOUR
            fine[2 * row + 1, 2 * column + 1] = FILL
            coarse[ONE_OF_FOUR] -= 1
            fine[_fine(*(slice(n, n + 1) for n in ALL_FOUR))] = coarse[ALL_FOUR] = FILL
            self.radiances.append(fine)
            refs.append(coarse)
        for _ in range(3):
            counts = np.full(SHAPE, 200, np.int16)
            counts[BLOCK] = rng.integers(-9000, 4000, block)
            counts[:BORDER] = FILL
            self.temperatures.append(counts)
        self.temperatures[1][COLD_MISSING] = FILL
        self.refs = _unpacked(refs, REFLECTANCE_SCALE, 0)
        self.bts = _unpacked(self.temperatures, BT_SCALE, BT_OFFSET)
        self.bayes = np.zeros(SHAPE, np.uint8)
        self.bayes[BLOCK] = rng.choice(np.array([0, 1, 2, 4, 8], np.uint8), block)
        self.cloud = np.zeros(SHAPE, np.uint16)
        self.cloud[BLOCK] = rng.choice(np.array([0, 1], np.uint16), block)


def _fine(rows: slice, columns: slice) -> tuple[slice, slice]:
    return slice(2 * rows.start, 2 * rows.stop), slice(2 * columns.start, 2 * columns.stop)


def _unpacked(counts: list[np.ndarray], scale: float, offset: float) -> np.ndarray:
    """Physical values (rows, columns, n) float32 of n planes of counts, NaN where missing."""
    stacked = np.stack(counts, axis=-1)
    return np.where(stacked == FILL, np.nan, stacked * scale + offset).astype(np.float32)


class SceneFormat(Protocol):
    """A format: writes the pixels, and breaks a copy of what it wrote."""

    def write(self, folder: Path, pixels: Pixels) -> Path:
        """Write the scene; return its path."""

    def copy(self, scene: Path, folder: Path) -> Path:
        """A copy that may be broken without harm to the scene."""

    def damaged_file(self, scene: Path) -> Path:
        """The file whose bytes a damage changes."""

    def remove(self, scene: Path, *, s8: bool = False, masks: bool = False) -> None:
        """Leave out the channel S8 or both masks."""


@dataclass(frozen=True)
class Hdf5:
    """The data set's format; reflectances on the 1 km grid, or on the 0.5 km grid if `fine`."""

    fine: bool = False

    def write(self, folder: Path, pixels: Pixels) -> Path:
        path, factor = folder / f"{PRODUCT}.hdf", 1 + self.fine
        refs = _unpacked(pixels.radiances, REFLECTANCE_SCALE, 0) if self.fine else pixels.refs
        with h5py.File(path, "w") as file:
            _write_sparsely(file, "refs", refs, factor)
            _write_sparsely(file, "bts", pixels.bts, 1)
            _write_sparsely(file, "bayes", pixels.bayes[..., None].astype(np.float32), 1)
            _write_sparsely(file, "summary", pixels.cloud[..., None].astype(np.float32), 1)
        return path

    def copy(self, scene: Path, folder: Path) -> Path:
        return Path(shutil.copy(scene, folder))

    def damaged_file(self, scene: Path) -> Path:
        return scene

    def remove(self, scene: Path, *, s8: bool = False, masks: bool = False) -> None:
        with h5py.File(scene, "a") as file:
            for name in ["bts"] * s8 + ["bayes", "summary"] * masks:
                del file[name]


def _write_sparsely(file: h5py.File, name: str, values: np.ndarray, factor: int) -> None:
    """A data set that stores the border and the block; all else is its fill value."""
    data = file.create_dataset(
        name, values.shape, values.dtype, chunks=True, fillvalue=values[-1, -1, 0]
    )
    block = tuple(slice(factor * part.start, factor * part.stop) for part in BLOCK)
    data[: factor * BORDER] = values[: factor * BORDER]
    data[block] = values[block]


class Sen3Folder:
    """ESA's format, as a folder."""

    def write(self, folder: Path, pixels: Pixels) -> Path:
        channels = [f"S{number}" for number in range(1, 7)]
        content = Content(
            radiances=pixels.radiances,
            temperatures=pixels.temperatures,
            irradiance=dict.fromkeys(channels, [IRRADIANCE] * 4),
            zenith=lambda row, column: np.zeros(np.shape(row)),
            bayes=pixels.bayes,
            confidence=OCEAN | pixels.cloud * SUMMARY_CLOUD,
        )
        return write_product(folder, content)

    def copy(self, scene: Path, folder: Path) -> Path:
        return Path(shutil.copytree(scene, folder / scene.name, copy_function=os.link))

    def damaged_file(self, scene: Path) -> Path:
        path = scene / "S7_BT_in.nc"
        data = path.read_bytes()
        path.unlink()  # it is a hard link
        path.write_bytes(data)
        return path

    def remove(self, scene: Path, *, s8: bool = False, masks: bool = False) -> None:
        for name in ["S8_BT_in.nc"] * s8 + ["flags_in.nc"] * masks:
            (scene / name).unlink()


class Sen3Zip(Sen3Folder):
    """ESA's format, as a zip archive of the folder."""

    def write(self, folder: Path, pixels: Pixels) -> Path:
        return zip_product(super().write(folder, pixels), folder / f"{PRODUCT}.SEN3.zip")

    def copy(self, scene: Path, folder: Path) -> Path:
        return Path(shutil.copy(scene, folder))

    def damaged_file(self, scene: Path) -> Path:
        return scene

    def remove(self, scene: Path, *, s8: bool = False, masks: bool = False) -> None:
        folder = scene.parent / "unpacked"
        shutil.unpack_archive(scene, folder)
        super().remove(folder / f"{PRODUCT}.SEN3", s8=s8, masks=masks)
        zip_product(folder / f"{PRODUCT}.SEN3", scene)


FORMATS: dict[str, SceneFormat] = {
    "HDF5": Hdf5(),
    "HDF5 on the 0.5 km grid": Hdf5(fine=True),
    "SEN3 folder": Sen3Folder(),
    "SEN3 zip": Sen3Zip(),
}
