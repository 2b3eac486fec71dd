"""Synthetic scenes with a truth, made once for all tests of the comparison."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from cloudmask.model.precision import Precision
from cloudmask.scenes.layout import list_scenes
from cloudmask.science.cloud_masks import CloudDetectors
from cloudmask.science.scene_evaluation import fit_screen
from cloudmask.science.screens.bayesian import BayesianScreen
from cloudmask.synthetic.generate import synthesize


class ColdIsCloud(torch.nn.Module):
    """Calls cloud where the last channel (S9) is below its centre, 270 K."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return -x[:, 8:]


@pytest.fixture(scope="session")
def synthetic_data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two training scenes and two others, a day and a night scene each."""
    folder = tmp_path_factory.mktemp("evaluated")
    synthesize(folder, 2, 2, seed=3, processes=2)
    return folder


@pytest.fixture(scope="session")
def fitted_screen(synthetic_data: Path) -> BayesianScreen:
    return fit_screen(list_scenes(synthetic_data, "training"), {}, lambda scenes: None)


@pytest.fixture(scope="session")
def detectors(fitted_screen: BayesianScreen) -> CloudDetectors:
    precision = Precision(torch.float32, torch.device("cpu"))
    return CloudDetectors(ColdIsCloud(), precision, 16, fitted_screen)
