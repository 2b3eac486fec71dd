"""Checks of the run: its parameters, data, memory, disk, log folder and page caches."""

import os
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import torch

from cloudmask.config import Config
from cloudmask.distributed.process_group import choose_device
from cloudmask.doctor.finding import Finding, gib
from cloudmask.errors import InputError
from cloudmask.machine.system.cgroups import available_memory
from cloudmask.machine.system.file_system import IN_MEMORY, file_system_type
from cloudmask.mlperf.score.setting import FIXED_DATASETS
from cloudmask.model.precision import choose_precision
from cloudmask.patches.store import choose_store
from cloudmask.scenes.hdf5_scene import inspect_scene
from cloudmask.scenes.layout import SUBSET_FOLDERS, list_scenes
from cloudmask.scenes.slstr import CHANNELS
from cloudmask.tables import counted
from cloudmask.timed_run.page_cache import DROP_CACHES
from cloudmask.timed_run.plan import Counts, count_patches

SAMPLE_BYTES = 256 * 2**20  # of the disk check: the most it reads, and the temporary file
BLOCK_BYTES = 4 * 2**20


def check_configuration(config: Config) -> Finding:
    """The effective parameters."""
    try:
        device = choose_device(config.device)
        precision = choose_precision(config.precision, device).name
    except InputError as error:
        return Finding("FAIL", "configuration", str(error))
    return Finding(
        "ok",
        "configuration",
        f"{config.system}: {config.nodes} x {counted(config.processes_per_node, 'process')}, "
        f"global batch {config.batch_size * config.world_size}, {precision}, "
        f"{config.recipe} recipe, target {config.target_accuracy}, seed {config.seed or 'random'}",
    )


def check_submission(config: Config) -> Iterator[Finding]:
    """What a checker or a reviewer would refuse whatever the run does: data set and submitter."""
    closed = config.division == "closed"
    if closed and config.dataset != "ds1":
        text = (
            f"division closed takes ds1, and the data set is {config.dataset}: give --dataset ds1"
        )
        yield Finding("FAIL", "division", text)
    if config.organisation == Config.organisation and (closed or config.dataset in FIXED_DATASETS):
        text = f"the log will name {config.organisation} as submitter: give --organisation NAME"
        yield Finding("FAIL" if closed else "warning", "submitter", text)


def check_data(config: Config) -> Iterator[Finding]:
    """The scenes of both subsets, and whether they fill a batch; the first one is inspected."""
    folder = config.datadir
    # What run_and_time.sh does with an empty folder.
    filled_by = {"ds1": "fetches them", "ds2": "fetches them", "synthetic": "makes them"}
    if folder == Config.datadir:
        filled_by["custom"] = "makes them"
    if config.dataset in filled_by and not (folder.exists() and os.listdir(folder)):
        text = f"no scenes in {folder} yet: run_and_time.sh {filled_by[config.dataset]}"
        yield Finding("warning", "data", text)
        return
    for subset in SUBSET_FOLDERS:
        try:
            scenes = list_scenes(folder, subset)
            inspect_scene(scenes[0])
            text = f"{counted(len(scenes), 'scene', subset)} in {folder}"
            if subset == "training":
                counts = count_patches(len(scenes), config, config.world_size)
                text += f": {counts.train_samples} and {counted(counts.eval_samples, 'patch')}"
            yield Finding("ok", "data", text)
        except OSError as error:
            yield Finding("FAIL", "data", f"{folder} cannot be read ({error.strerror})")
        except InputError as error:
            yield Finding("FAIL", "data", str(error))
            if not folder.is_dir():
                return


def check_memory(config: Config) -> Finding:
    """Where the patches of a rank will be stored: device, host or mapped memory."""
    free = available_memory()
    counts = _counts(config)
    if counts is None:
        return Finding("ok", "memory", f"{gib(free)} free")
    pixels = (counts.train_samples + counts.eval_samples) * config.patch_size**2
    needed = pixels * (2 * CHANNELS + 1) // config.world_size
    uses_gpu = config.device != "cpu" and torch.cuda.is_available()
    device = torch.device("cuda" if uses_gpu else "cpu")
    store = choose_store(config.store, needed, device, config.processes_per_node)
    text = f"{gib(free)} free; {gib(needed)} of patches a rank go to {store} memory"
    scratch = file_system_type(config.scratch)
    if store == "mapped" and scratch in IN_MEMORY:
        text += f" on {config.scratch}, which is {scratch}: give --scratch a folder on a disk"
        return Finding("warning", "memory", text)
    if store == "mapped" and config.store == "auto":
        return Finding("warning", "memory", f"{text} on {config.scratch}, which is slower")
    return Finding("ok", "memory", text)


def check_disk(config: Config) -> Finding:
    """Read rate of a scene or, without scenes, of a temporary file on scratch.

    The file is dropped from the page cache first. Caches of a controller or a remote server
    remain, so the rate is an upper bound.
    """
    try:
        scenes = list_scenes(config.datadir, "training")
        path = max(scenes[:10], key=lambda scene: scene.stat().st_size)
        return _read_rate(path, f"scene {path.name}")
    except InputError:
        pass
    except OSError as error:
        return Finding("FAIL", "disk", f"{error.filename}: {error.strerror}")
    try:
        with tempfile.NamedTemporaryFile(dir=config.scratch) as file:
            for _ in range(SAMPLE_BYTES // BLOCK_BYTES):
                file.write(os.urandom(BLOCK_BYTES))
            file.flush()
            os.fsync(file.fileno())
            return _read_rate(Path(file.name), f"temporary file in {config.scratch}")
    except OSError as error:
        return Finding(
            "warning", "disk", f"scratch {config.scratch} cannot be written ({error.strerror})"
        )


def check_log_folder(folder: Path) -> Finding:
    """Whether a log can be written to the folder, or the folder created."""
    existing = next(place for place in (folder, *folder.absolute().parents) if place.exists())
    try:
        if not existing.is_dir():
            raise NotADirectoryError(f"{existing} is a file")
        with tempfile.TemporaryFile(dir=existing):
            pass
    except OSError as error:
        reason = error.strerror or error
        return Finding("FAIL", "LOGDIR", f"{folder} cannot be written ({reason}): choose another")
    return Finding("ok", "LOGDIR", f"{folder} can be {'written' if existing == folder else 'made'}")


def check_caches(config: Config) -> Finding:
    """Whether the page caches can be dropped before the run."""
    if config.caches_cleared:
        return Finding("ok", "caches", "dropped by the host, as caches_cleared says")
    if config.clear_caches and os.access(DROP_CACHES, os.W_OK):
        return Finding("ok", "caches", "the kernel will drop them before the run")
    return Finding("warning", "caches", "cannot be dropped from here: cache_clear will be false")


def _counts(config: Config) -> Counts | None:
    try:
        return count_patches(
            len(list_scenes(config.datadir, "training")), config, config.world_size
        )
    except InputError:
        return None


def _read_rate(path: Path, label: str) -> Finding:
    with path.open("rb", buffering=0) as file:
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
        began = time.perf_counter()
        size = 0
        while size < SAMPLE_BYTES and (block := file.read(BLOCK_BYTES)):
            size += len(block)
        seconds = time.perf_counter() - began
    return Finding(
        "ok", "disk", f"{size / 1e6 / seconds:.0f} MB/s at most, {label}, {size / 1e6:.0f} MB"
    )
