"""Synthetic scenes: files with the data set's names and schema, simulated by a physical model.

`landscape` draws surface and clouds, `physics` computes what the radiometer measures, `masks` the
three cloud masks; this module combines them into scenes and writes the files.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from datetime import datetime, timedelta
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from cloudmask.errors import InputError, SceneError
from cloudmask.files import make_writable_folder, require_shared_memory
from cloudmask.scenes.hdf5 import open_hdf5, replacing_hdf5
from cloudmask.scenes.hdf5_scene import DATASET_ATTRIBUTE, GENERATOR_ATTRIBUTE
from cloudmask.scenes.slstr import COLUMNS, REFLECTANCES, ROWS, TEMPERATURES
from cloudmask.synthetic.climate import CONDITIONS
from cloudmask.synthetic.clouds import DEFAULT_AMOUNTS, Amounts, make_clouds
from cloudmask.synthetic.landscape import make_surface
from cloudmask.synthetic.masks import (
    CLOUDS,
    SURFACES,
    bayesian_mask,
    cloud_type,
    surface_type,
    threshold_mask,
    true_mask,
)
from cloudmask.synthetic.physics import Measurement, add_noise, measure, solar_radiances
from cloudmask.synthetic.twin import deck, make_twin_scene
from cloudmask.synthetic.view import FRAMES, Frame

DEFAULT_TRAINING_SCENES = 12
DEFAULT_INFERENCE_SCENES = 4
DEFAULT_SEED = 1

GENERATOR = "cloudmask synthetic scenes"
# Raise a data set's with every change of the data of a seed: older scenes are then replaced.
GENERATOR_VERSIONS = {"synthetic": 2, "twin": 3}

CLASSES = {"surface": SURFACES, "cloud_type": CLOUDS}
DEPTHS = {"refs": REFLECTANCES, "bts": TEMPERATURES, "rads": REFLECTANCES}
DEPTHS |= dict.fromkeys(("bayes", "summary", "truth", *CLASSES), 1)
SHAPES = {name: (ROWS, COLUMNS, depth) for name, depth in DEPTHS.items()}

# Fraction of pixels on which `bayes` differs from `truth`: each scene draws its own.
DISAGREEMENT = (0.043, 0.053)

# Sentinel-3: 385 orbits in a cycle of 27 days; day and night side are half an orbit apart.
ORBITS_PER_CYCLE = 385
HALF_ORBIT = timedelta(days=27) / (2 * ORBITS_PER_CYCLE)
SCENE_DURATION = timedelta(seconds=180)
PROCESSING_DELAY = timedelta(hours=28)
# First sensing time, and its cycle and relative orbit; inference scenes come later.
FIRST_SENSING = {
    "training": (datetime(2019, 10, 1, 11, 32, 21), 50, 23),
    "inference": (datetime(2020, 3, 1, 10, 14, 7), 55, 260),
}
DAY_FRAME, NIGHT_FRAME = 1980, 5040


@dataclass(frozen=True)
class _Job:
    path: Path
    seed: int
    index: int
    subset: str
    dataset: str


def synthesize(
    dest: Path,
    training_scenes: int = DEFAULT_TRAINING_SCENES,
    inference_scenes: int = DEFAULT_INFERENCE_SCENES,
    seed: int = DEFAULT_SEED,
    processes: int = 1,
    report: Callable[[int], object] = lambda scenes: None,
    dataset: str = "synthetic",
) -> list[Path]:
    """Write scenes into `dest`/training and `dest`/inference; return their paths, in order.

    A scene depends on the seed, its subset and its index only, so a larger set begins with the
    smaller one. Existing scenes of the same generator, seed and index are kept; other files in
    the folders are left alone.

    Args:
        processes: how many scenes are made at once.
        report: called with the number of scenes that were completed since the last call.
        dataset: "synthetic", the small set that is quick to solve, or "twin", the twin of DS1.

    Raises:
        InputError: a negative count or seed, or a destination that cannot be written to.
    """
    counts = {"training": training_scenes, "inference": inference_scenes}
    for subset, count in counts.items():
        if count < 0:
            raise InputError(f"{subset} scenes is {count}: give a number of 0 or more")
    if seed < 0:
        raise InputError(f"seed is {seed}: give a number of 0 or more")
    if processes < 1:
        raise InputError(f"processes is {processes}: give a number of 1 or more")
    jobs = [
        _Job(dest / subset / _file_name(dataset, seed, subset, index), seed, index, subset, dataset)
        for subset, count in counts.items()
        for index in range(count)
    ]
    try:
        for subset in counts:
            make_writable_folder(dest / subset)
        missing = [job for job in jobs if not _is_complete(job)]
        report(len(jobs) - len(missing))
        _write_all(missing, processes, report)
    except OSError as error:
        reason = error.strerror or error
        raise InputError(
            f"cannot write scenes into {dest} ({reason}); give another folder"
        ) from error
    return [job.path for job in jobs]


def make_scene(
    seed: int, index: int, subset: str, amounts: Amounts = DEFAULT_AMOUNTS
) -> dict[str, NDArray[np.float32]]:
    """Simulate the data sets of one scene, by name, all float32; shapes are in `SHAPES`.

    `refs` are reflectances (zeros by night), `bts` kelvin, `rads` W m-2 sr-1 um-1. A mask is
    cloud where it is above 0; `CLASSES` gives the meaning of the values of `surface` and
    `cloud_type`. A frame of zeros with ragged edges surrounds the scene; some values of `refs`,
    `bts` and `rads` are missing (NaN). Even indices are day scenes, odd ones night scenes.
    """
    rng = scene_rng(seed, index, subset)
    climate, day = CONDITIONS[index % len(CONDITIONS)], index % 2 == 0
    sun_zenith = rng.uniform(*climate.sun_zenith_degrees) if day else None

    surface = make_surface(rng, climate, day)
    layers = make_clouds(rng, climate, surface, amounts)
    measurement = measure(surface, layers, sun_zenith)
    add_noise(rng, measurement, day)

    inside = _inside_frame(rng)
    disagreement = rng.uniform(*DISAGREEMENT)
    bayes = bayesian_mask(rng, surface, layers, measurement, day, disagreement, inside)
    truth, summary = true_mask(measurement), threshold_mask(surface, measurement, day)
    _drop_pixels(rng, measurement)
    scene = {
        "refs": measurement.reflectances,
        "bts": measurement.temperatures,
        "rads": solar_radiances(measurement.reflectances, sun_zenith),
        "bayes": bayes[..., None],
        "summary": summary[..., None],
        "truth": truth[..., None],
        "surface": surface_type(surface)[..., None],
        "cloud_type": cloud_type(layers, truth)[..., None],
    }
    for values in scene.values():
        values[~inside] = 0
    return scene


def scene_rng(seed: int, index: int, subset: str) -> Generator:
    """The random generator of one scene."""
    stream = [seed, list(FIRST_SENSING).index(subset), index]
    return np.random.default_rng(np.random.SeedSequence(stream))


def twin_scene(seed: int, index: int, subset: str) -> dict[str, NDArray[Any]]:
    """Simulate the data sets of one scene of the twin; see `twin.make_twin_scene`."""
    return make_twin_scene(scene_rng(seed, index, subset), *_of_deck(seed, subset, index))


def _of_deck(seed: int, subset: str, index: int) -> tuple[Frame, float]:
    block, place = divmod(index, len(FRAMES))
    return deck([seed, list(FIRST_SENSING).index(subset), block])[place]


def _file_name(dataset: str, seed: int, subset: str, index: int) -> str:
    if dataset == "twin":
        return product_name(subset, index, _of_deck(seed, subset, index)[0].seconds)
    return product_name(subset, index)


def product_name(subset: str, index: int, seconds: int | None = None) -> str:
    """File name of a scene, an ESA SLSTR level-1 product name; names sort by index.

    Each half of an orbit has a scene; or each orbit has one, `seconds` after its beginning.
    """
    first, cycle, orbit = FIRST_SENSING[subset]
    start = first + index * HALF_ORBIT
    orbits, frame = index // 2, NIGHT_FRAME if index % 2 else DAY_FRAME
    if seconds is not None:
        start = first + 2 * index * HALF_ORBIT + timedelta(seconds=seconds)
        orbits, frame = index, seconds
    stop = start + SCENE_DURATION
    created = stop + PROCESSING_DELAY
    cycles, relative = divmod(orbit - 1 + orbits, ORBITS_PER_CYCLE)
    times = "_".join(time.strftime("%Y%m%dT%H%M%S") for time in (start, stop, created))
    return (
        f"S3A_SL_1_RBT____{times}_0179_{cycle + cycles:03d}_{relative + 1:03d}_{frame:04d}"
        "_LN2_O_NT_003.hdf"
    )


def _inside_frame(rng: Generator) -> NDArray[np.bool_]:
    """The pixels inside a frame with ragged edges, 5 to 40 pixels wide."""
    row, column = np.arange(ROWS)[:, None], np.arange(COLUMNS)[None, :]
    left, right = _frame_width(rng, ROWS)[:, None], _frame_width(rng, ROWS)[:, None]
    top, bottom = _frame_width(rng, COLUMNS)[None, :], _frame_width(rng, COLUMNS)[None, :]
    inside: NDArray[np.bool_] = (
        (column >= left) & (column < COLUMNS - right) & (row >= top) & (row < ROWS - bottom)
    )
    return inside


def _frame_width(rng: Generator, length: int) -> NDArray[np.int64]:
    """A width that varies slowly along the side and jumps with every scan of 32 lines."""
    knots = rng.uniform(5, 20, 6)
    slow = np.interp(np.linspace(0, 5, length), np.arange(6), knots)
    jumps = np.repeat(rng.exponential(2.0, length // 32 + 1), 32)[:length]
    return np.clip(slow + jumps, 5, 40).astype(np.int64)


def _drop_pixels(rng: Generator, measurement: Measurement) -> None:
    """Replace fragments of scan lines and single pixels of the channels by NaN."""
    for _ in range(rng.integers(3, 9)):
        row, column = rng.integers(ROWS), rng.integers(COLUMNS)
        fragment = (row, slice(column, column + rng.integers(100, 700)))
        measurement.temperatures[fragment] = np.nan
        measurement.reflectances[fragment] = np.nan
    for channels in (measurement.temperatures, measurement.reflectances):
        rows, columns = rng.integers(ROWS, size=900), rng.integers(COLUMNS, size=900)
        channels[rows, columns, rng.integers(channels.shape[-1], size=900)] = np.nan


def _is_complete(job: _Job) -> bool:
    if not job.path.is_file():
        return False
    try:
        with open_hdf5(job.path, job.path.name) as file:
            return all(file.attrs.get(k) == v for k, v in _identity(job).items()) and all(
                name in file and file[name].shape == shape for name, shape in SHAPES.items()
            )
    except SceneError:
        return False


def _identity(job: _Job) -> dict[str, object]:
    version = GENERATOR_VERSIONS[job.dataset]
    origin: dict[str, object] = {GENERATOR_ATTRIBUTE: GENERATOR, "generator_version": version}
    made_as = {} if job.dataset == "synthetic" else {DATASET_ATTRIBUTE: job.dataset}
    return origin | made_as | {"seed": job.seed, "subset": job.subset, "index": job.index}


def _flags(name: str) -> dict[str, object]:
    """CF attributes of a classification: the meaning of its values."""
    if name not in CLASSES:
        return {}
    values, meanings = zip(*CLASSES[name].items(), strict=True)
    return {"flag_values": np.array(values, np.uint8), "flag_meanings": " ".join(meanings)}


def _write_all(jobs: list[_Job], processes: int, report: Callable[[int], object]) -> None:
    if min(processes, len(jobs)) <= 1:
        for job in jobs:
            _write(job)
            report(1)
        return
    require_shared_memory()
    # Spawned, not forked: the caller may have threads and open HDF5 files.
    with ProcessPoolExecutor(min(processes, len(jobs)), get_context("spawn")) as pool:
        futures = [pool.submit(_write, job) for job in jobs]
        try:
            for future in as_completed(futures):
                future.result()
                report(1)
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def _write(job: _Job) -> None:
    make = twin_scene if job.dataset == "twin" else make_scene
    scene = make(job.seed, job.index, job.subset)
    with replacing_hdf5(job.path) as file:
        for name, values in scene.items():
            file.create_dataset(name, data=values).attrs.update(_flags(name))
        file.attrs.update(_identity(job))
