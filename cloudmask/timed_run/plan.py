"""What a run will do, settled before the clock: usable scenes, counts, and each rank's share."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cloudmask.config import RECIPES, Config
from cloudmask.distributed.process_group import World, gather, on_rank_zero
from cloudmask.errors import InputError
from cloudmask.patches.geometry import patches_per_scene, split_scenes
from cloudmask.patches.store import Share, share_of, usable_patches
from cloudmask.scenes.hdf5 import SceneError
from cloudmask.scenes.layout import list_scenes
from cloudmask.scenes.scene import inspect_scene, is_synthetic


@dataclass(frozen=True)
class Counts:
    """How many patches the run uses, over all ranks and epochs alike."""

    world_size: int
    global_batch_size: int
    train_samples: int
    eval_samples: int

    def train_share(self, rank: int) -> Share:
        """The rank's training patches."""
        return share_of(rank, self.world_size, self.train_samples)

    def eval_share(self, rank: int) -> Share:
        """The rank's validation patches."""
        return share_of(rank, self.world_size, self.eval_samples)


@dataclass(frozen=True)
class Plan:
    """The scenes of the run in the order of the global patch lists, and the counts."""

    dataset: str
    training: Sequence[Path]
    validation: Sequence[Path]
    inference: Sequence[Path]
    skipped: Sequence[str]
    counts: Counts


def count_patches(training_scenes: int, config: Config, world_size: int) -> Counts:
    """The counts for so many scenes in the data set's training folder.

    Both subsets are cut to whole global batches, so that every rank has as many patches as any
    other: 970 scenes give 15488 and 3840 at a global batch of 64 or 128.

    Raises:
        InputError: a subset does not fill one global batch.
    """
    global_batch = config.batch_size * world_size
    training, validation = split_scenes(training_scenes)
    found = {"training": len(training), "validation": len(validation)}
    usable = {
        name: usable_patches(scenes, config.patch_size, global_batch)
        for name, scenes in found.items()
    }
    for name, patches in usable.items():
        if patches == 0:
            have = found[name] * patches_per_scene(config.patch_size)
            raise InputError(
                f"{have} {name} patches from {found[name]} scenes do not fill one global batch of "
                f"{global_batch} ({config.batch_size} x {world_size} ranks): give more scenes, or "
                "a smaller batch_size, or fewer ranks"
            )
    return Counts(world_size, global_batch, usable["training"], usable["validation"])


def make_plan(
    config: Config, world: World, report: Callable[[int], object] = lambda scenes: None
) -> Plan:
    """List and inspect the scenes, each rank a part of them, and settle the counts.

    `report(1)` is called after each scene that this rank has looked at.

    Raises:
        InputError: no usable data, or, unless `skip_bad_scenes`, a scene that cannot be used.
    """
    subsets = {}
    skipped: list[str] = []
    for subset in ("training", "inference"):
        scenes = _listed(config.datadir, subset, world)
        problems = dict(_inspected(scenes, world, report))
        if problems and not config.skip_bad_scenes:
            others = f" ({len(problems) - 1} more are unusable)" if len(problems) > 1 else ""
            raise InputError(f"{next(iter(problems.values()))}{others}")
        if len(problems) == len(scenes):
            raise InputError(f"all {len(scenes)} {subset} scenes in {config.datadir} are unusable")
        subsets[subset] = [scene for scene in scenes if scene not in problems]
        skipped += problems.values()
    scenes = subsets["training"]
    training, validation = split_scenes(len(scenes))
    return Plan(
        dataset=_dataset_name(config, [*scenes, *subsets["inference"]], world),
        training=[scenes[index] for index in training],
        validation=[scenes[index] for index in validation],
        inference=subsets["inference"],
        skipped=skipped,
        counts=count_patches(len(scenes), config, world.size),
    )


def training_parameters(config: Config, plan: Plan, world: World) -> dict[str, Any]:
    """What the course of training depends on besides its seed."""
    of_muon = ("kernel_learning_rate", "kernel_momentum")
    names = [*RECIPES["reference"], *of_muon, "batch_size", "patch_size"]
    return {
        "dataset": plan.dataset,
        "train_samples": plan.counts.train_samples,
        "eval_samples": plan.counts.eval_samples,
        "ranks": world.size,
        **{name: getattr(config, name) for name in names},
    }


def _listed(datadir: Path, subset: str, world: World) -> list[Path]:
    """The scenes of a subset, listed by rank 0 for all: many ranks would press the file system."""
    listed = gather(on_rank_zero(world, lambda: list_scenes(datadir, subset)))[0]
    assert listed is not None
    return listed


def _inspected(
    scenes: Sequence[Path], world: World, report: Callable[[int], object]
) -> list[tuple[Path, str]]:
    """Unusable scenes with what is wrong with them; each rank looks at every n-th scene."""
    problems = []
    for scene in scenes[world.rank :: world.size]:
        try:
            inspect_scene(scene)
        except SceneError as error:
            problems.append((scene, str(error)))
        report(1)
    return sorted(problem for part in gather(problems) for problem in part)


def _dataset_name(config: Config, scenes: Sequence[Path], world: World) -> str:
    """What the log calls the data: never by the name of a real data set if any is synthetic."""
    mine = [scene.name for scene in scenes[world.rank :: world.size] if is_synthetic(scene)]
    synthetic = sorted(name for part in gather(mine[:1]) for name in part)
    if config.dataset == "synthetic" and not synthetic:
        raise InputError("dataset is synthetic but no scene says that it is: use dataset custom")
    if config.dataset in ("ds1", "ds2") and synthetic:
        raise InputError(
            f"dataset is {config.dataset} but {synthetic[0]} is a synthetic scene: use synthetic"
        )
    return "synthetic" if synthetic else config.dataset
