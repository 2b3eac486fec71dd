"""The plan of a run, made before the clock: usable scenes, counts, and each rank's share."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cloudmask.config import RECIPES, SYNTHETIC_DATASETS, Config
from cloudmask.distributed.process_group import World, broadcast, gather, on_rank_zero
from cloudmask.errors import InputError, SceneError
from cloudmask.patches.geometry import patches_per_scene, split_scenes
from cloudmask.patches.store import Share, share_of, usable_patches
from cloudmask.scenes.hdf5_scene import inspect_scene
from cloudmask.scenes.layout import list_scenes
from cloudmask.tables import counted

MUON_PARAMETERS = ("kernel_learning_rate", "kernel_momentum")


@dataclass(frozen=True)
class Counts:
    """Numbers of patches in each epoch, over all ranks."""

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
    """The scenes of each subset in the order of its global patch list, and the counts."""

    dataset: str
    training: Sequence[Path]
    validation: Sequence[Path]
    inference: Sequence[Path]
    skipped: Sequence[str]
    counts: Counts


@dataclass(frozen=True)
class _Inspected:
    """The unusable scenes, each with its problem, and a usable one of each generated data set."""

    problems: list[tuple[Path, str]]
    made: dict[str, str]  # name of a scene by data set, '' of scenes that are not generated


def count_patches(training_scenes: int, config: Config, world_size: int) -> Counts:
    """Count the patches of so many scenes in the data set's training folder.

    Both subsets are cut to whole global batches, so that every rank has the same number of
    patches: 970 scenes give 15488 and 3840 at a global batch of 64 or 128.

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
            available = found[name] * patches_per_scene(config.patch_size)
            raise InputError(
                f"one global batch of {global_batch} ({config.batch_size} x "
                f"{counted(world_size, 'rank')}) is not filled by "
                f"{counted(available, 'patch', name)} from {counted(found[name], 'scene')}: give "
                "more scenes, or a smaller batch_size, or fewer ranks"
            )
    return Counts(world_size, global_batch, usable["training"], usable["validation"])


def make_plan(
    config: Config, world: World, report: Callable[[int], object] = lambda scenes: None
) -> Plan:
    """List the scenes, inspect their headers, each rank every n-th scene, and count the patches.

    `report(1)` is called after each scene that this rank inspected.

    Raises:
        InputError: no usable data, or, unless `skip_bad_scenes`, a scene that cannot be used.
    """
    subsets = {}
    skipped: list[str] = []
    made: dict[str, str] = {}
    for subset in ("training", "inference"):
        scenes = _listed(config.datadir, subset, world)
        inspected = _inspected(scenes, world, report)
        problems = dict(inspected.problems)
        made = {**inspected.made, **made}
        if problems and not config.skip_bad_scenes:
            others = f" ({len(problems) - 1} more unusable)" if len(problems) > 1 else ""
            raise InputError(f"{next(iter(problems.values()))}{others}")
        if len(problems) == len(scenes):
            raise InputError(f"no {subset} scene in {config.datadir} is usable, of {len(scenes)}")
        subsets[subset] = [scene for scene in scenes if scene not in problems]
        skipped += problems.values()
    scenes = subsets["training"]
    training, validation = split_scenes(len(scenes))
    return Plan(
        dataset=_dataset_name(config, made),
        training=[scenes[index] for index in training],
        validation=[scenes[index] for index in validation],
        inference=subsets["inference"],
        skipped=skipped,
        counts=count_patches(len(scenes), config, world.size),
    )


def training_parameters(config: Config, plan: Plan, world: World, precision: str) -> dict[str, Any]:
    """The parameters that determine training, besides its seed; equal ones give equal weights."""
    names = [*RECIPES["reference"], *MUON_PARAMETERS, "batch_size", "patch_size"]
    return {
        "dataset": plan.dataset,
        "train_samples": plan.counts.train_samples,
        "eval_samples": plan.counts.eval_samples,
        "ranks": world.size,
        "device": world.device.type,
        "precision": precision,
        **{name: getattr(config, name) for name in names},
    }


def _listed(datadir: Path, subset: str, world: World) -> list[Path]:
    """List the scenes of a subset on rank 0 alone, to spare the file system, for all ranks."""
    listed = broadcast(on_rank_zero(world, lambda: list_scenes(datadir, subset)))
    assert listed is not None
    return listed


def _inspected(scenes: Sequence[Path], world: World, report: Callable[[int], object]) -> _Inspected:
    """Inspect every scene, each rank some of them; the result is the same on every rank."""
    mine = _Inspected([], {})
    for scene in scenes[world.rank :: world.size]:
        try:
            mine.made.setdefault(inspect_scene(scene), scene.name)
        except SceneError as error:
            mine.problems.append((scene, str(error)))
        report(1)
    of_ranks = gather(mine)
    return _Inspected(
        sorted(problem for of_rank in of_ranks for problem in of_rank.problems),
        {made: name for of_rank in of_ranks for made, name in of_rank.made.items()},
    )


def _dataset_name(config: Config, named: Mapping[str, str]) -> str:
    """The data set's name in the log: never that of a real one if a scene is synthetic."""
    synthetic = sorted(set(named) - {""})
    if config.dataset in SYNTHETIC_DATASETS and not synthetic:
        raise InputError(
            f"dataset is {config.dataset} but no scene says that it is: use dataset custom"
        )
    if config.dataset == "twin" and set(named) != {"twin"}:
        other = next(named[dataset] for dataset in sorted(named) if dataset != "twin")
        raise InputError(
            f"dataset is twin but {other} was not made by `cloudmask synthesize --like ds1`: use "
            "another folder, or dataset custom"
        )
    if config.dataset in ("ds1", "ds2") and synthetic:
        raise InputError(
            f"dataset is {config.dataset} but {named[synthetic[0]]} is a synthetic scene: use "
            f"{synthetic[0]}"
        )
    if not synthetic:
        return config.dataset
    # Mixed with other scenes, those of the twin are no twin.
    return "twin" if set(named) == {"twin"} else "synthetic"
