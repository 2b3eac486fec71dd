"""Validates runs for a submission package; reports all errors at once."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from itertools import chain
from typing import Any

from mlperf_logging.mllog import constants

from cloudmask.config import SYNTHETIC_DATASETS
from cloudmask.errors import InputError
from cloudmask.mlperf.check.ds1 import is_ds1
from cloudmask.mlperf.check.rcp import REFERENCE
from cloudmask.mlperf.log.run_summary import RunSummary
from cloudmask.mlperf.package.description import description_errors
from cloudmask.mlperf.package.request import Request, System, read_json
from cloudmask.mlperf.package.source_archive import in_history
from cloudmask.mlperf.score.runs import Run
from cloudmask.mlperf.score.scores import RUNS
from cloudmask.mlperf.score.setting import Setting
from cloudmask.tables import counted

EVALUATION_FORMAT = "cloudmask-evaluation-"
TRUTH = "truth"  # only synthetic scenes have one


def validation_errors(
    request: Request, runs: Sequence[Run], systems: Sequence[System]
) -> list[str]:
    """Every reason why these runs cannot be packaged as requested; empty if they can."""
    found = chain(
        _runs(request, runs, systems),
        _commits(systems),
        _folders(runs),
        *(_system(request, system) for system in systems),
        _evaluation(request),
        _science_division(request, systems),
    )
    return list(dict.fromkeys(found))


def _runs(request: Request, runs: Sequence[Run], systems: Sequence[System]) -> Iterator[str]:
    """Runs that do not count; in the HPC layout one of each five may have failed, as in a score."""
    tolerated: list[Run] = []
    if request.layout == "hpc":
        for system in systems:
            tolerated += system.score.scored_runs
        tolerated += [run for run in runs if not any(run in system.runs for system in systems)]
    for run in runs:
        if not (run.failed and run in tolerated):
            yield from (f"{run.path}: {reason}" for reason in run.reasons)


def _science_division(request: Request, systems: Sequence[System]) -> Iterator[str]:
    for system in systems:
        if request.layout == "science" and system.setting.division != "open":
            yield (
                f"{system.platform}: division {system.setting.division}: MLCommons Science has the "
                "open division only; package it with --layout hpc"
            )


def _commits(systems: Sequence[System]) -> Iterator[str]:
    by_commit: dict[str, list[str]] = {}
    for system in systems:
        for run in system.runs:
            if run.summary is not None:
                by_commit.setdefault(Setting.of(run.summary).commit, []).append(str(run.path))
    if len(by_commit) > 1:
        named = "; ".join(f"{commit[:8]}: {', '.join(logs)}" for commit, logs in by_commit.items())
        yield f"the runs are of different commits, and a package holds one source: {named}"
    for commit in by_commit:
        if not in_history(commit):
            yield (
                f"commit {commit} of the runs is not in this repository's history: package from a "
                "clone that has it"
            )


def _folders(runs: Sequence[Run]) -> Iterator[str]:
    platforms: dict[str, set[str]] = {}
    for run in runs:
        if run.summary is not None:
            platforms.setdefault(str(run.path.parent), set()).add(run.summary.platform)
    for folder, names in platforms.items():
        if len(names) > 1:
            yield f"{folder}: mixes runs of {', '.join(sorted(names))}; one folder for each system"


def _system(request: Request, system: System) -> Iterator[str]:
    name, count = system.platform, len(system.runs)
    if count < RUNS and request.layout == "hpc":
        yield f"{name}: {counted(count, 'run')} given: a score takes {RUNS}"
    summaries = [run.summary for run in system.runs if run.summary is not None]
    differing = _differing([_parameters(summary) for summary in summaries])
    if differing:
        yield f"{name}: its runs differ in more than the seed: {', '.join(differing)}"
    for run in summaries:
        yield from _data(request, name, run)
        recipe = run.hyperparameters.get("recipe")
        if run.division == "closed" and recipe != REFERENCE:
            yield f"{name}: division closed with recipe {recipe}: closed takes {REFERENCE}"
        if not run.configuration:
            yield f"{name}: its logs do not carry the configuration that is to be packaged as YAML"
    yield from description_errors(request, system, summaries[0])


def _data(request: Request, name: str, run: RunSummary) -> Iterator[str]:
    if run.dataset != request.dataset:
        yield (
            f"{name}: its data are {run.dataset} and would be presented as {request.dataset}; "
            f"--dataset {run.dataset} presents them as what they are"
        )
    elif run.dataset == "ds1" and not is_ds1(
        run.train_samples,
        run.eval_samples,
        int(run.hyperparameters.get(constants.GLOBAL_BATCH_SIZE, 1)),
    ):
        yield (
            f"{name}: {run.train_samples} training and {run.eval_samples} validation patches "
            "are not those of ds1"
        )


def _parameters(run: RunSummary) -> dict[str, Any]:
    """The parameters that the runs of a system must share; `_commits` compares the commits."""
    values = {**asdict(Setting.of(run)), **run.hyperparameters, **run.configuration}
    return {key: value for key, value in values.items() if key not in ("commit", "hyperparameters")}


def _differing(runs: Sequence[Mapping[str, Any]]) -> list[str]:
    keys = dict.fromkeys(key for run in runs for key in run)
    return [key for key in keys if any(run.get(key) != runs[0].get(key) for run in runs)]


def _evaluation(request: Request) -> Iterator[str]:
    if request.evaluation is None:
        if request.layout == "science":
            yield (
                "no --evaluation: the science layout has a scientific contribution, made from the "
                "evaluation.json of `cloudmask evaluate`"
            )
        return
    try:
        report = read_json(request.evaluation)
    except InputError as error:
        yield str(error)
        return
    if not str(report.get("format", "")).startswith(EVALUATION_FORMAT):
        yield f"{request.evaluation}: was not written by `cloudmask evaluate`"
    elif TRUTH in report["references"] and request.dataset not in SYNTHETIC_DATASETS:
        yield (
            f"{request.evaluation}: its scenes have a truth, which only synthetic ones have, and "
            f"would be presented as {request.dataset}"
        )
