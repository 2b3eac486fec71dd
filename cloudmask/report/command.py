"""The command `report`: read and check all inputs, then write the page."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import torch

from cloudmask.console import Console
from cloudmask.errors import EXIT_OK, EXIT_SOME_FAILED, InputError
from cloudmask.mlperf.score.compare import comparison_rows
from cloudmask.model.precision import choose_precision
from cloudmask.model.weights import load_weights
from cloudmask.report.blocks import Block, Section
from cloudmask.report.cards import cards_section
from cloudmask.report.evaluation_sections import (
    EVALUATION_TITLE,
    HOW_TO_EVALUATE,
    evaluation_sections,
    read_evaluation,
)
from cloudmask.report.options import ReportOptions
from cloudmask.report.page import write_page
from cloudmask.report.quicklooks import DIFFERENCE_LEGEND, quicklook
from cloudmask.report.run_sections import learning_section, timing_section
from cloudmask.report.runs import RunFolder, read_folders
from cloudmask.report.systems_section import comparison_section
from cloudmask.scenes.failures import SCENE_FAILURES, scene_failure, scene_name
from cloudmask.scenes.readers import scenes_of_folder
from cloudmask.scenes.sen3_files import is_sen3
from cloudmask.science.cloud_masks import CloudDetectors
from cloudmask.science.command import SCREEN_NAME
from cloudmask.science.screens.bayesian import load_screen

HOW_TO_SHOW_SCENES = (
    "No scenes were given, so none are shown. Give “--scenes FOLDER --weights "
    "weights_N.safetensors”."
)
HOW_TO_ENLARGE = "Select an image to enlarge it."
WITHOUT_NETWORK = (
    "No weights were given, so the network's masks are not shown. Give “--weights "
    "weights_N.safetensors” of a run."
)
WITHOUT_BAYESIAN = (
    "No fitted Bayesian screen was given, so the operational Bayesian mask is shown, unless it is "
    "the reference. Give “--bayesian-screen bayesian_screen.npz”, which evaluate --output writes."
)


def report(options: ReportOptions) -> int:
    """Write the page; returns 0, or 4 if scenes are unusable (the page lists them).

    Raises:
        InputError: bad input; nothing has been written.
    """
    folders = _with_unique_names(read_folders(options.logs))
    sections = _run_sections(folders)
    if options.evaluation is None:
        sections.append(Section("evaluation", EVALUATION_TITLE, [HOW_TO_EVALUATE]))
    else:
        sections += evaluation_sections(read_evaluation(options.evaluation))
    unusable: dict[str, str] = {}
    sections.append(_quicklooks(options, unusable))
    names = ", ".join(dict.fromkeys(folder.name for folder in folders))
    page = write_page(options.output, f"CloudMask on {names}", sections)
    console = Console(visible=True)
    for problem in unusable.values():
        console.say(f"not shown: {problem}")
    console.say(str(page))
    return EXIT_SOME_FAILED if unusable else EXIT_OK


def _with_unique_names(folders: Sequence[RunFolder]) -> list[RunFolder]:
    """Add the folder to the name of systems that share it."""
    names = [folder.name for folder in folders]
    return [
        replace(folder, name=f"{folder.name} ({folder.path})")
        if names.count(folder.name) > 1
        else folder
        for folder in folders
    ]


def _run_sections(folders: Sequence[RunFolder]) -> list[Section]:
    sections = [cards_section(folders)]
    for index, folder in enumerate(folders, 1):
        anchor = _identifier(folder.name) + (f"-{index}" if len(folders) > 1 else "")
        sections += [timing_section(folder, anchor), learning_section(folder, f"{anchor}-learning")]
    if len(folders) > 1:
        runs = [run.checked for folder in folders for run in folder.runs]
        sections.insert(1, comparison_section(comparison_rows(runs)))
    return sections


def _quicklooks(options: ReportOptions, unusable: dict[str, str]) -> Section:
    title = "Quick-looks"
    scenes = _selected_scenes(options)
    if not scenes:
        return Section("quick-looks", title, [HOW_TO_SHOW_SCENES])
    detectors = _detectors(options)
    blocks: list[Block] = [HOW_TO_ENLARGE, DIFFERENCE_LEGEND]
    if detectors.network is None:
        blocks.append(WITHOUT_NETWORK)
    if detectors.bayesian is None:
        blocks.append(WITHOUT_BAYESIAN)
    with Console(visible=True).bar(len(scenes), "quick-looks") as progress:
        for path in scenes:
            try:
                blocks.append(quicklook(path, detectors, f"quicklook-{_identifier(path.stem)}"))
            except SCENE_FAILURES as error:
                unusable[scene_name(path)] = scene_failure(path, error)
            progress(1)
    blocks += [f"Not shown: {problem}" for problem in unusable.values()]
    return Section("quick-looks", title, blocks)


def _selected_scenes(options: ReportOptions) -> list[Path]:
    """The scenes that are given, and some of each folder that is given; one of each name."""
    if options.quicklooks < 1:
        raise InputError(f"--quicklooks is {options.quicklooks}: give 1 or more")
    selected: dict[str, Path] = {}
    for path in options.scenes:
        found = [path]
        if not (path.is_file() or is_sen3(path)):
            scenes = scenes_of_folder(path, "--scenes")
            count = min(options.quicklooks, len(scenes))
            found = [
                scenes[round(step * (len(scenes) - 1) / max(count - 1, 1))] for step in range(count)
            ]
        selected.update({scene.name: scene for scene in found})
    return list(selected.values())


def _detectors(options: ReportOptions) -> CloudDetectors:
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    network = None if options.weights is None else load_weights(options.weights).to(device)
    screen = options.bayesian_screen
    if screen is None and options.evaluation is not None:
        folder = options.evaluation if options.evaluation.is_dir() else options.evaluation.parent
        screen = folder / SCREEN_NAME if (folder / SCREEN_NAME).is_file() else None
    bayesian = None if screen is None else load_screen(screen)
    return CloudDetectors(network, choose_precision("auto", device), bayesian=bayesian)


def _identifier(name: str) -> str:
    """The name with only characters that are safe in file names and HTML identifiers."""
    return re.sub(r"[^A-Za-z0-9_]+", "-", name).strip("-") or "system"
