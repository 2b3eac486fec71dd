"""The command `report`: inputs are checked and read first, the page is written at the end."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import torch

from cloudmask.console import Console
from cloudmask.errors import EXIT_OK, InputError, SceneError
from cloudmask.mlperf.score.compare import comparison_rows
from cloudmask.model.precision import choose_precision
from cloudmask.model.weights import load_weights
from cloudmask.report.blocks import Block, Section
from cloudmask.report.evaluation_sections import HOW_TO_EVALUATE, answer_sections, read_evaluation
from cloudmask.report.page import write_page
from cloudmask.report.quicklooks import LEGEND, quicklook
from cloudmask.report.run_sections import learning_section, timing_section
from cloudmask.report.runs import RunFolder, read_folders
from cloudmask.report.systems_section import comparison_section
from cloudmask.science.cloud_masks import CloudDetectors
from cloudmask.science.command import EXIT_SCENES_FAILED, SCREEN_NAME
from cloudmask.science.scene_evaluation import find_scenes
from cloudmask.science.screens.bayesian import load_screen

HOW_TO_LOOK = (
    "No scenes were given, so none are shown. Give “--scenes FOLDER --weights "
    "weights_N.safetensors”."
)
WITHOUT_NETWORK = (
    "No weights were given, so the network's masks are not shown. Give “--weights "
    "weights_N.safetensors” of a run."
)
WITHOUT_BAYESIAN = (
    "No fitted Bayesian screen was given, so the operational mask stands in for it where it is not "
    "the reference. Give “--bayesian-screen bayesian_screen.npz”, which evaluate --output writes."
)


@dataclass(frozen=True)
class ReportOptions:
    """What the report is made of."""

    logs: Sequence[Path]
    """Folders of logs, at any depth; each that holds some is shown as a system."""
    evaluation: Path | None = None
    """`evaluation.json` or its folder."""
    weights: Path | None = None
    bayesian_screen: Path | None = None
    scenes: Sequence[Path] = field(default_factory=tuple)
    """Scenes to show, and folders to choose some from."""
    quicklooks: int = 4
    """How many to choose from each folder, evenly among its sorted scenes."""
    output: Path = Path("report")


def report(options: ReportOptions) -> int:
    """Write the page; returns 0, or 4 if a scene could not be shown (each is named).

    Raises:
        InputError: bad input; nothing has been written then.
    """
    folders = _told_apart(read_folders(options.logs))
    answer = None if options.evaluation is None else read_evaluation(options.evaluation)
    sections = _sections_of_runs(folders)
    if answer is None:
        sections.append(
            Section("answer", "Is the network better than Bayesian?", [HOW_TO_EVALUATE])
        )
    else:
        sections += answer_sections(answer)
    unusable: dict[str, str] = {}
    sections.append(_quicklooks(options, unusable))
    names = ", ".join(dict.fromkeys(folder.name for folder in folders))
    page = write_page(options.output, f"CloudMask on {names}", sections)
    console = Console(visible=True)
    for problem in unusable.values():
        console.say(f"not shown: {problem}")
    console.say(f"{page}")
    return EXIT_SCENES_FAILED if unusable else EXIT_OK


def _told_apart(folders: Sequence[RunFolder]) -> list[RunFolder]:
    """Systems of one name are called by their folders, too."""
    names = [folder.name for folder in folders]
    return [
        replace(folder, name=f"{folder.name} ({folder.path})")
        if names.count(folder.name) > 1
        else folder
        for folder in folders
    ]


def _sections_of_runs(folders: Sequence[RunFolder]) -> list[Section]:
    sections = []
    for index, folder in enumerate(folders, 1):
        ident = f"{_plain(folder.name)}-{index}" if len(folders) > 1 else _plain(folder.name)
        sections += [timing_section(folder, ident), learning_section(folder, f"{ident}-learning")]
    if len(folders) > 1:
        runs = [run.judged for folder in folders for run in folder.runs]
        sections.insert(0, comparison_section(comparison_rows(runs)))
    return sections


def _quicklooks(options: ReportOptions, unusable: dict[str, str]) -> Section:
    title = "Quick-looks"
    scenes = _chosen(options)
    if not scenes:
        return Section("quick-looks", title, [HOW_TO_LOOK])
    detectors = _detectors(options)
    blocks: list[Block] = [LEGEND]
    if detectors.network is None:
        blocks.append(WITHOUT_NETWORK)
    if detectors.bayesian is None:
        blocks.append(WITHOUT_BAYESIAN)
    with Console(visible=True).bar(len(scenes), "quick-looks") as progress:
        for path in scenes:
            try:
                blocks.append(quicklook(path, detectors, f"quicklook-{_plain(path.stem)}"))
            except SceneError as error:
                unusable[path.name] = str(error)
            progress(1)
    blocks += [f"Not shown: {problem}" for problem in unusable.values()]
    return Section("quick-looks", title, blocks)


def _chosen(options: ReportOptions) -> list[Path]:
    """The scenes that are named, and some of each folder that is."""
    if options.quicklooks < 1:
        raise InputError(f"--quicklooks is {options.quicklooks}: give 1 or more")
    chosen: dict[str, Path] = {}
    for path in options.scenes:
        found = [path]
        if not path.is_file():
            scenes = find_scenes(path, "--scenes")
            count = min(options.quicklooks, len(scenes))
            found = [
                scenes[round(step * (len(scenes) - 1) / max(count - 1, 1))] for step in range(count)
            ]
        chosen.update({scene.name: scene for scene in found})
    return list(chosen.values())


def _detectors(options: ReportOptions) -> CloudDetectors:
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    network = None if options.weights is None else load_weights(options.weights).to(device)
    fitted = options.bayesian_screen
    if fitted is None and options.evaluation is not None:
        folder = options.evaluation if options.evaluation.is_dir() else options.evaluation.parent
        beside = folder / SCREEN_NAME
        fitted = beside if beside.is_file() else None
    bayesian = None if fitted is None else load_screen(fitted)
    return CloudDetectors(network, choose_precision("auto", device), bayesian=bayesian)


def _plain(name: str) -> str:
    """A name fit for a file and for an identifier."""
    return re.sub(r"[^A-Za-z0-9_]+", "-", name).strip("-") or "system"
