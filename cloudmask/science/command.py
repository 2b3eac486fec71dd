"""The command `evaluate`: check the inputs, evaluate the scenes, write the report."""

from __future__ import annotations

import json
from datetime import datetime, timezone
from functools import partial
from pathlib import Path
from typing import Any

import torch

from cloudmask import __version__
from cloudmask.console import Console
from cloudmask.errors import EXIT_OK, EXIT_SOME_FAILED, InputError
from cloudmask.files import make_writable_folder
from cloudmask.machine.system.threads import limit_threads
from cloudmask.model.precision import choose_precision
from cloudmask.model.weights import load_weights
from cloudmask.scenes.failures import scene_name
from cloudmask.scenes.readers import scenes_of_folder
from cloudmask.science.cloud_masks import CloudDetectors
from cloudmask.science.evaluation_report import evaluation_report
from cloudmask.science.match_ups import clear_at, compare, select
from cloudmask.science.options import EvaluationOptions
from cloudmask.science.scene_evaluation import evaluate_scene, fit_screen
from cloudmask.science.scene_workers import map_scenes
from cloudmask.science.screens.bayesian import BayesianScreen, load_screen, save_screen
from cloudmask.science.sst.consistency import MIN_SST_KELVIN
from cloudmask.science.sst.matchup_table import read_match_ups
from cloudmask.science.text_report import text_report

JSON_NAME, TEXT_NAME, SCREEN_NAME = "evaluation.json", "evaluation.txt", "bayesian_screen.npz"


def evaluate(options: EvaluationOptions) -> int:
    """Compare all masks; returns 0, or 4 if some scenes are unusable (the report lists them).

    Raises:
        InputError: bad input; nothing has been written.
    """
    _check(options)
    network = load_weights(options.weights)
    scenes = scenes_of_folder(options.scenes, "--scenes")
    training = (
        scenes_of_folder(options.training_scenes, "--training-scenes")
        if options.training_scenes
        else []
    )
    match_ups = read_match_ups(options.matchups) if options.matchups else None
    clear_at_match_ups = None
    left_out: dict[str, int] = {}
    if match_ups is not None:
        kept, left_out = select(match_ups, scenes, options.min_sst)
        clear_at_match_ups = partial(clear_at, match_ups, kept)
    console = Console(visible=options.format == "text")
    unusable: dict[str, str] = {}
    bayesian: BayesianScreen | None = None
    if options.bayesian_screen is not None:
        bayesian = load_screen(options.bayesian_screen)
    if options.output is not None:
        _make_folder(options.output)
    if training:
        with console.bar(len(training), "fitting the Bayesian screen") as progress:
            bayesian = fit_screen(training, unusable, progress)
    limit_threads()
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    precision = choose_precision("auto", device)
    detectors = CloudDetectors(network.to(device), precision, options.batch_size, bayesian)
    evaluate_one = partial(
        evaluate_scene,
        detectors=detectors,
        positive_weight=options.positive_weight,
        min_sst=options.min_sst,
        clear_at_match_ups=clear_at_match_ups,
    )
    with console.bar(len(scenes), "scenes") as progress:
        evaluated = map_scenes(evaluate_one, scenes, "scene", unusable, progress, options.workers)
    trained_on = sorted(set(map(scene_name, scenes)) & set(map(scene_name, training)))
    settings = {**_settings(options, precision.name), "scenes_also_trained_on": trained_on}
    at_buoys = None
    if match_ups is not None:
        found = compare(match_ups, [scene.clear for scene in evaluated])
        at_buoys = {"left_out": left_out, **found}
    report = evaluation_report(evaluated, unusable, settings, at_buoys)
    text = text_report(report)
    if options.output is not None:
        (options.output / JSON_NAME).write_text(_json(report), encoding="utf-8")
        # Folders and classes may have bytes that are no text: they become escapes, as in JSON.
        (options.output / TEXT_NAME).write_text(text, encoding="utf-8", errors="backslashreplace")
        if bayesian is not None:
            save_screen(options.output / SCREEN_NAME, bayesian)
    print(_json(report) if options.format == "json" else text, end="")
    return EXIT_SOME_FAILED if unusable else EXIT_OK


def _check(options: EvaluationOptions) -> None:
    if not MIN_SST_KELVIN <= options.min_sst < 320:
        raise InputError(f"--min-sst is {options.min_sst}: give kelvin from {MIN_SST_KELVIN} up")
    if not 0 < options.positive_weight < float("inf"):
        raise InputError(f"--positive-weight is {options.positive_weight}: give a number above 0")
    if options.batch_size < 1:
        raise InputError(f"--batch-size is {options.batch_size}: give 1 or more")
    if options.workers < 1:
        raise InputError(f"--workers is {options.workers}: give 1 or more processes")
    if options.bayesian_screen is not None and options.training_scenes is not None:
        raise InputError("--bayesian-screen and --training-scenes exclude each other: give one")
    if options.output is not None:
        for name in (JSON_NAME, TEXT_NAME, SCREEN_NAME):
            if (options.output / name).exists():
                raise InputError(f"{options.output / name} exists: give another --output")


def _make_folder(output: Path) -> None:
    try:
        make_writable_folder(output)
    except OSError as error:
        raise InputError(
            f"--output {output} cannot be written to ({error.strerror}): give another folder"
        ) from error


def _settings(options: EvaluationOptions, precision: str) -> dict[str, Any]:
    paths = ("weights", "scenes", "training_scenes", "bayesian_screen", "matchups")
    given = {name: getattr(options, name) for name in paths}
    return {
        **{name: None if path is None else str(path) for name, path in given.items()},
        "min_sst": options.min_sst,
        "positive_weight": options.positive_weight,
        "precision": precision,
        "version": __version__,
        "date": datetime.now(timezone.utc).isoformat(timespec="seconds"),
    }


def _json(report: dict[str, Any]) -> str:
    return json.dumps(report, indent=1, allow_nan=False) + "\n"
