"""The README of a package and the scientific contribution, as Markdown."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from cloudmask.mlperf.package.request import Json, Request, System
from cloudmask.mlperf.score.summarize import run_table, score_summary
from cloudmask.synthetic import SYNTHETIC_NOTICE
from cloudmask.tables import Table, counted, estimate, number

SYNTHETIC = f"**{SYNTHETIC_NOTICE}**"
SCORES = ("accuracy", "balanced_accuracy", "iou", "brier", "wbce")
SST_SCORES = ("coverage", "cold_tail", "below_min_sst")


def readme(request: Request, systems: Sequence[System], pattern: str, code: str) -> str:
    """The README of a package: scores, source, and how to run and check it.

    Args:
        pattern: name of the logs, such as 'result_{}.txt'.
        code: folder of the source.
    """
    setting = systems[0].setting
    parts = [
        f"# CloudMask, {request.submitter}",
        "CloudMask, the cloud segmentation benchmark of MLCommons Science: the time from the first "
        f"byte of data, here {setting.dataset}, until validation accuracy reaches the target.",
    ]
    if setting.dataset == "synthetic":
        parts.append(SYNTHETIC)
    for system in systems:
        score = system.score_with_names(pattern)
        parts += [run_table(score).markdown(), score_summary(score)]
    parts += [
        "## Source",
        f"`{code}` is the source that ran, commit `{setting.commit}`, unchanged but for "
        "`SOURCE_COMMIT`, which names the commit. Its `README.md` says what is timed; "
        "`requirements.txt` names the packages.",
        "## Run it again",
        f"In `{code}`, with the scenes in DATADIR:",
        *(_command(system, request.layout) for system in systems),
        "Any other `SEED` makes a run of its own; none given draws one at random.",
        "## Check it",
        f"In `{code}`, with its packages installed:",
        _block(_checks(request, systems, pattern)),
    ]
    return "\n\n".join(parts) + "\n"


def contribution(request: Request, system: System, report: Json) -> str:
    """The scientific contribution: the network compared with the Bayesian screens."""
    weights = Path(str(report["settings"].get("weights", ""))).name
    parts = [
        "# Scientific contribution: cloud masks by a neural network and by Bayesian screens",
        "Sea surface temperature can be retrieved only where no cloud is in the way. The question "
        "is whether a U-Net finds cloud more accurately than a Bayesian screen. Measured by "
        f"`cloudmask evaluate` on {counted(len(report['scenes']), 'scene')}, with the "
        f"weights `{weights}`; the same figures and more are in `evaluation.json`, whose "
        "`definitions` explain every term.",
    ]
    if system.setting.dataset == "synthetic":
        parts.append(SYNTHETIC)
    for name, part in report["references"].items():
        parts += list(_scores(f"Against {name}", part, SCORES))
    parts += list(_scores("SST consistency, which needs no truth", report["sst"], SST_SCORES))
    parts += ["## Findings", _items(report["findings"]), "## Notes", _items(report["notes"])]
    results = [run.summary.result for run in system.runs if run.summary is not None]
    keys = list(dict.fromkeys(key for result in results for key in result))
    rows = [[f"{index}", *(_cell(x.get(key)) for key in keys)] for index, x in enumerate(results)]
    columns = ["run", *(key.replace("_", " ") for key in keys)]
    parts.append(Table("What each timed run logged", columns, rows).markdown())
    return "\n\n".join(parts) + "\n"


def _scores(title: str, part: Json, names: Sequence[str]) -> Iterator[str]:
    present = [name for name in names if any(name in scores for scores in part["masks"].values())]
    rows = [
        [f"`{mask}`", *(estimate(scores.get(name), 4) for name in present)]
        for mask, scores in part["masks"].items()
    ]
    columns = ["mask", *(name.replace("_", " ") for name in present)]
    yield Table(f"{title}: value (95 % interval)", columns, rows).markdown()
    rows = [
        [f"`{mask}`", *(estimate(scores.get(name), 4, sign=True) for name in present)]
        for mask, scores in part["differences"].items()
    ]
    if rows:
        columns = ["network minus", *columns[1:]]
        yield Table(f"{title}: differences", columns, rows).markdown()


def _command(system: System, layout: str) -> str:
    values, setting = system.configuration, system.setting
    parameters = f"../{system.platform}.yaml" if layout == "hpc" else "../config.yaml"
    first = system.runs[0].summary
    assert first is not None
    lines = [
        f"DGXSYSTEM={system.platform} DGXNNODES={setting.nodes} "
        f"DGXNGPU={values.get('processes_per_node')} SEED={first.seed} \\",
        f"    DATADIR=/path/to/{setting.dataset} ./run_and_time.sh --config {parameters} \\",
        # config_<SYSTEM>.sh may set these three in the environment, which overrides the file.
        f"    --batch-size {values.get('batch_size')} "
        f"--evaluation-batch-size {values.get('evaluation_batch_size')} "
        f"--epochs {values.get('epochs')}",
    ]
    if setting.nodes > 1:
        lines[-1] += " --hosts FIRST,SECOND,...  # on each of them"
    return _block(lines)


def _checks(request: Request, systems: Sequence[System], pattern: str) -> list[str]:
    python = "python -m"
    if request.layout == "science":
        logs = " ".join(f"../{pattern.format(x)}" for x in range(len(systems[0].runs)))
        return [f"{python} cloudmask check {logs}", f"{python} cloudmask summarize .."]
    folders = [f"../../../results/{system.platform}" for system in systems]
    return [
        *(f"{python} cloudmask check {folder}/strong/cloudmask/result_*.txt" for folder in folders),
        f"{python} cloudmask compare {' '.join(folders)}",
        f"{python} cloudmask.mlperf.package.official_checker ../../..",
    ]


def _block(lines: Sequence[str]) -> str:
    return "\n".join(["```", *lines, "```"])


def _items(sentences: Sequence[str]) -> str:
    return "\n".join(f"- {sentence}" for sentence in sentences)


def _cell(value: Any) -> str:
    return number(value, 4) if isinstance(value, float) else str(value)
