"""Detectors fitted to the synthetic scenes, once for all tests of the evaluation."""

from __future__ import annotations

from pathlib import Path

import pytest

from cloudmask.scenes.layout import list_scenes
from cloudmask.science.cloud_masks import CloudDetectors
from cloudmask.science.scene_evaluation import evaluate_scene, fit_screen
from cloudmask.science.scene_sums import SceneSums
from cloudmask.science.screens.bayesian import BayesianScreen
from tests.science.networks import FLOAT32, ColdIsCloud


@pytest.fixture(scope="session")
def fitted_screen(synthetic_data: Path) -> BayesianScreen:
    return fit_screen(list_scenes(synthetic_data, "training"), {}, lambda scenes: None)


@pytest.fixture(scope="session")
def detectors(fitted_screen: BayesianScreen) -> CloudDetectors:
    return CloudDetectors(ColdIsCloud(), FLOAT32, 16, fitted_screen)


@pytest.fixture(scope="session")
def evaluated(synthetic_data: Path, detectors: CloudDetectors) -> SceneSums:
    """The sums of one synthetic scene."""
    return evaluate_scene(list_scenes(synthetic_data, "inference")[0], detectors)
