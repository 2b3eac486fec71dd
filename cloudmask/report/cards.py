"""The first section of the page: of each system its score, hardware, data and versions."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta, timezone
from typing import Any

from cloudmask.config import SYNTHETIC_DATASETS
from cloudmask.mlperf.log.run_summary import UNKNOWN, RunSummary
from cloudmask.mlperf.score.scores import Score, scores
from cloudmask.mlperf.score.summarize import no_score_reason
from cloudmask.report.blocks import Card, Cards, Section
from cloudmask.report.runs import RunFolder
from cloudmask.tables import UNDEFINED, counted, interval

DATE, TIME = "%Y-%m-%d", "%H:%M"
EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)
NOT_LOGGED = "not logged"
COMMIT_CHARACTERS = 12
MOST_REASONS = 2


def cards_section(folders: Sequence[RunFolder]) -> Section:
    """A card for each system, or several if its runs have several settings."""
    return Section("summary", "Summary", [Cards([card for each in folders for card in _of(each)])])


def _of(folder: RunFolder) -> list[Card]:
    found = scores([run.checked for run in folder.runs])
    if not found:
        logs = counted(len(folder.runs), "log")
        return [Card(folder.name, "No score", [("runs", f"none of {logs} is that of a whole run")])]
    return [_card(folder.name, score) for score in found]


def _card(title: str, score: Score) -> Card:
    setting, seconds = score.setting, score.seconds
    runs = [run.summary for run in score.runs if run.summary is not None]
    machines = [machine for run in runs for machine in run.machines or [{}]]
    headline = "No score"
    if seconds is not None:
        mean = f"{seconds.mean:.1f} s"
        headline = f"Score {mean}" if score.official else f"Mean {mean}, no score"
    facts = {
        "95 % interval": _interval(score),
        "counts": _counts(score),
        "target": f"validation accuracy {setting.target:g}",
        "hardware": _hardware(score),
        "processors": _distinct(_processors(machine) for machine in machines),
        "accelerators": _distinct(_accelerators(machine) for machine in machines),
        "data": _data(score),
        "division": setting.division,
        "recipe": _recipe(runs[0]),
        "run": _period(runs),
        "software": _distinct(_software(run) for run in runs),
        "commit": setting.commit[:COMMIT_CHARACTERS],
    }
    if not setting.accelerators_per_node:
        del facts["accelerators"]
    return Card(title, headline, [(name, fact) for name, fact in facts.items() if fact])


def _interval(score: Score) -> str:
    found = UNDEFINED if score.seconds is None else interval(*score.seconds.interval)
    return "" if found == UNDEFINED else f"{found} s"


def _counts(score: Score) -> str:
    valid = f"{len(score.valid_runs)} of {counted(len(score.runs), 'run')}"
    if score.official:
        return f"yes, {valid}"
    reasons = list(dict.fromkeys(reason for run in score.runs for reason in run.reasons))
    others = len(reasons) - MOST_REASONS
    more = [f"{counted(others, 'reason', 'more')} below"] if others > 0 else []
    return f"no, {valid}: {'; '.join([no_score_reason(score), *reasons[:MOST_REASONS], *more])}"


def _hardware(score: Score) -> str:
    setting = score.setting
    nodes = counted(setting.nodes, "node") if setting.nodes else f"nodes {NOT_LOGGED}"
    if not setting.accelerators_per_node:
        return f"{nodes}, no accelerators"
    return f"{nodes}, {counted(setting.accelerators_per_node, 'accelerator')} on each"


def _processors(machine: Any) -> str:
    model = str(machine.get("host_processor_model_name", ""))
    if not model:
        return NOT_LOGGED
    parts = [f"{machine.get('host_processors_per_node', 1)} x {model}"]
    cores = str(machine.get("host_processor_core_count", ""))
    if cores.isdecimal():
        parts.append(f"{counted(int(cores), 'core')} each")
    if memory := machine.get("host_memory_capacity"):
        parts.append(f"{memory} of memory")
    return ", ".join(parts)


def _accelerators(machine: Any) -> str:
    model = str(machine.get("accelerator_model_name", ""))
    memory = machine.get("accelerator_memory_capacity")
    return f"{model}, {memory}" if model and memory else model or NOT_LOGGED


def _data(score: Score) -> str:
    setting = score.setting
    patches = f"{setting.train_samples} + {counted(setting.eval_samples, 'patch')}"
    synthetic = "; says nothing about DS1" if setting.dataset in SYNTHETIC_DATASETS else ""
    return f"{setting.dataset}, {patches}{synthetic}"


def _recipe(run: RunSummary) -> str:
    name, batch = (run.hyperparameters.get(key) for key in ("recipe", "global_batch_size"))
    return f"{name or NOT_LOGGED}, global batch {batch or NOT_LOGGED}"


def _period(runs: Sequence[RunSummary]) -> str:
    """The times of the first and the last run_start, in UTC."""
    starts = sorted(run.started for run in runs if run.started > 0)
    if not starts:
        return ""
    first, last = (EPOCH + timedelta(milliseconds=start) for start in (starts[0], starts[-1]))
    began, ended = f"{first:{DATE} {TIME}}", f"{last:{DATE} {TIME}}"
    if began == ended:
        return f"{began} UTC"
    return f"{began} to {f'{last:{TIME}}' if first.date() == last.date() else ended} UTC"


def _software(run: RunSummary) -> str:
    names = ("framework", "other_software_stack", "operating_system")
    first = next(iter(run.machines), {})
    parts = [str(first[name]) for name in names if name in first]
    version = [] if run.version == UNKNOWN else [f"CloudMask {run.version}"]
    return ", ".join([*version, *parts]) or NOT_LOGGED


def _distinct(values: Iterable[str]) -> str:
    return "; ".join(dict.fromkeys(value for value in values if value))
