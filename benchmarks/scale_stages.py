"""One measurement of `benchmarks.scale`: prepare inputs of a size, then time one call on them.

python -m benchmarks.scale_stages STAGE N     prints {"seconds": ..., "cpu": ..., "mib": ...}
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import resource
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import h5py
import numpy as np
import torch

from cloudmask.config import configure
from cloudmask.distributed.process_group import World, initialise_process_group
from cloudmask.fetch.command import FetchOptions, fetch
from cloudmask.mlperf.score.summarize import summarize
from cloudmask.patches.staging import Staging, scene_slices
from cloudmask.patches.store import Share, StorePlan
from cloudmask.report.command import report
from cloudmask.report.options import ReportOptions
from cloudmask.scenes.layout import list_scenes
from cloudmask.scenes.slstr import COLUMNS, ROWS
from cloudmask.science.evaluation_report import evaluation_report
from cloudmask.science.scene_sums import SceneSums
from cloudmask.science.scores import confusion_counts
from cloudmask.science.sst.consistency import BINS
from cloudmask.synthetic.generate import synthesize
from cloudmask.timed_run.plan import make_plan

ROOT = Path(__file__).parents[1]
LOG = ROOT / "logs" / "CPU" / "result_0.txt"
DS2_SCENES, RANKS = 28000, 32
DECADES = (10, 100, 1000, 10000, DS2_SCENES)
PATCHES = 20  # of a scene
Call = Callable[[], object]
_keep: list[contextlib.ExitStack] = []  # servers that run until the process ends


@dataclass(frozen=True)
class Stage:
    """A stage: what n counts, the sizes to measure, and what prepares its call."""

    of: str
    sizes: Sequence[int]
    prepare: Callable[[Path, int], Call]


def _small_scene(path: Path) -> Path:
    """A valid scene whose grids take no room."""
    with h5py.File(path, "w", locking=False) as file:
        for name, depth in (("refs", 6), ("bts", 3), ("bayes", 1)):
            shape = (ROWS, COLUMNS, depth)
            file.create_dataset(name, shape, "f4", chunks=(ROWS, COLUMNS, 1))
    return path


def _linked(folder: Path, scene: Path, size: int) -> Path:
    """A data set of links to one scene, with one inference scene."""
    for subset, count in (("training", size), ("inference", 1)):
        (folder / subset).mkdir()
        for number in range(count):
            os.link(scene, folder / subset / f"S3A_SL_1_RBT____20190101T{number:06d}_{subset}.hdf")
    return folder


def listing(folder: Path, size: int) -> Call:
    """`list_scenes` of a folder."""
    data = _linked(folder, _small_scene(folder / "scene"), size)
    return lambda: list_scenes(data, "training")


def plan(folder: Path, size: int) -> Call:
    """Listing, inspection of every header, split and counts, by one rank."""
    config = replace(configure([]), datadir=_linked(folder, _small_scene(folder / "scene"), size))
    world = initialise_process_group()
    return lambda: make_plan(config, world)


def plan_of_ranks(folder: Path, size: int) -> Call:
    """The part of one of `size` ranks in the plan of DS2's 28,000 scenes; no other rank runs."""
    data = _linked(folder, _small_scene(folder / "scene"), DS2_SCENES)
    config = replace(configure([]), datadir=data)
    alone = initialise_process_group()
    world = World(**{**vars(alone), "size": size})
    return lambda: make_plan(config, world)


def slices(folder: Path, size: int) -> Call:
    """Where the patches of all ranks of DS2 come from, computed for each of them."""
    scenes = [Path(f"{number}.hdf") for number in range(size)]
    count = size * PATCHES // RANKS
    shares = [Share(rank * count, count) for rank in range(RANKS)]
    return lambda: [list(scene_slices(scenes, share, 256)) for share in shares]


def _staging(folder: Path, scenes: int, share: int) -> Call:
    synthesize(folder / "made", training_scenes=1, inference_scenes=0, seed=1)
    made = list_scenes(folder / "made", "training")[0]
    paths = [made] * scenes
    whole = StorePlan(paths, Share(0, PATCHES * share), 256, torch.bfloat16)
    device = torch.device("cpu")

    def stage() -> None:
        with Staging([whole], "host", device, 2, Path("/tmp")) as staged:
            staged.fill()

    return stage


def staging(folder: Path, size: int) -> Call:
    """Two workers read every patch of `size` scenes into memory."""
    return _staging(folder, size, size)


def staging_of_a_share(folder: Path, size: int) -> Call:
    """The same for a share of 10 scenes of a data set of `size`."""
    return _staging(folder, size, 10)


def evaluation(folder: Path, size: int) -> Call:
    """Scores, intervals and differences of evaluated scenes: `evaluate` without the scenes."""
    random = np.random.default_rng(1)
    reference = random.random(10000) > 0.5
    masks = ("network", "bayesian_screen", "threshold_screen", "bayes", "summary")
    strata = [("all", "all"), *((family, f"{n}") for family in "abcd" for n in range(3))]
    scenes = []
    for number in range(size):
        sums = {}
        for mask in masks:
            histogram = random.integers(0, 50, 3 + BINS).astype(float)
            sums[("sst", mask)] = histogram
            counts = confusion_counts(reference, random.random(10000) > 0.5)
            for family, name in strata:
                # A scene has some strata only: each then has another number of scenes.
                if family == "all" or (number + hash_of(name)) % 4:
                    sums[("mask", "label", family, name, mask)] = counts
        scenes.append(SceneSums(f"{number}", 1.0, True, sums))
    return lambda: evaluation_report(scenes, {}, {})


def hash_of(text: str) -> int:
    """The same number for the same text in every process."""
    return sum(text.encode())


def _logs(folder: Path, size: int, status: str) -> Path:
    """Logs of runs that differ in their seed and start."""
    text = LOG.read_text(encoding="utf-8").replace('"status": "success"', f'"status": "{status}"')
    logs = folder / "logs"
    logs.mkdir()
    for number in range(size):
        seeded = re.sub(r'("key": "seed", "value": )\d+', rf"\g<1>{number}", text)
        (logs / f"result_{number}.txt").write_text(seeded, encoding="utf-8")
    return logs


def logs(folder: Path, size: int) -> Call:
    """`summarize` on runs that missed the target, which the official checker need not read."""
    found = _logs(folder, size, "aborted")
    return lambda: summarize([found], "text")


def checked_logs(folder: Path, size: int) -> Call:
    """`summarize` on runs that met it, each read by the official checker."""
    found = _logs(folder, size, "success")
    return lambda: summarize([found], "text")


def page(folder: Path, size: int) -> Call:
    """`report` on runs of one system."""
    found = _logs(folder, size, "aborted")
    return lambda: report(ReportOptions([found], output=folder / "page"))


def _objects(folder: Path, size: int) -> tuple[contextlib.ExitStack, FetchOptions]:
    from tests.fetch import tiny_s3
    from tests.fetch.scene_bucket import PREFIX, name

    body = _small_scene(folder / "scene").read_bytes()
    stack = contextlib.ExitStack()
    server = stack.enter_context(tiny_s3.running())
    for number in range(size):
        server.put(f"{PREFIX}/{name(number)}", body)
    return stack, FetchOptions("ds1", folder / "dest", endpoint=server.endpoint)


def transfer(folder: Path, size: int) -> Call:
    """`fetch` of objects of 4 kB: listing, transfer, checks, manifest."""
    stack, options = _objects(folder, size)
    _keep.append(stack)
    return lambda: fetch(options)


def resume(folder: Path, size: int) -> Call:
    """`fetch` where every object is there already: listing, manifest and file status."""
    stack, options = _objects(folder, size)
    _keep.append(stack)
    fetch(options)
    return lambda: fetch(options)


STAGES = {
    "listing": Stage("scenes", DECADES, listing),
    "plan": Stage("scenes", DECADES, plan),
    "plan, a rank": Stage("ranks, 28,000 scenes", (4, 8, 16, 32), plan_of_ranks),
    "slices": Stage("scenes, 32 ranks", DECADES, slices),
    "staging": Stage("scenes", (10, 30, 100), staging),
    "staging, a share": Stage("scenes, share of 10", (10, 1000, DS2_SCENES), staging_of_a_share),
    "evaluation": Stage("scenes", DECADES, evaluation),
    "summarize": Stage("logs that missed the target", (10, 100, 1000, 5000), logs),
    "summarize, checked": Stage("logs that met it", (10, 30, 100), checked_logs),
    "report": Stage("logs", (10, 100, 1000), page),
    "fetch": Stage("objects", (10, 100, 1000, 5000), transfer),
    "fetch again": Stage("objects", (10, 100, 1000, 5000, 30000), resume),
}


def main() -> None:
    """Measure one stage at one size."""
    name, size = sys.argv[1], int(sys.argv[2])
    with tempfile.TemporaryDirectory(prefix="cloudmask-scale-") as made:
        with contextlib.redirect_stdout(sys.stderr):
            call = STAGES[name].prepare(Path(made), size)
            before = _peak()
            began, used = time.perf_counter(), _processor_seconds()
            call()
            seconds, cpu = time.perf_counter() - began, _processor_seconds() - used
        found = {"seconds": seconds, "cpu": cpu, "mib": _peak() - before}
        print(json.dumps({name: round(value, 4) for name, value in found.items()}))
        sys.stdout.flush()
    os._exit(0)  # a server's threads may still run


def _processor_seconds() -> float:
    """User and system time of this process and of those that it waited for."""
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system


def _peak() -> float:
    """Peak resident set of this process, MiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


if __name__ == "__main__":
    main()
