"""Detectors for the synthetic scenes, made once for all tests of the comparison."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from cloudmask.model.precision import Precision
from cloudmask.scenes.layout import list_scenes
from cloudmask.science.cloud_masks import CloudDetectors
from cloudmask.science.scene_evaluation import fit_screen
from cloudmask.science.screens.bayesian import BayesianScreen


class ColdIsCloud(torch.nn.Module):
    """Calls cloud where the last channel (S9) is below its centre, 270 K."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return -x[:, 8:]


@pytest.fixture(scope="session")
def fitted_screen(synthetic_data: Path) -> BayesianScreen:
    return fit_screen(list_scenes(synthetic_data, "training"), {}, lambda scenes: None)


@pytest.fixture(scope="session")
def detectors(fitted_screen: BayesianScreen) -> CloudDetectors:
    precision = Precision(torch.float32, torch.device("cpu"))
    return CloudDetectors(ColdIsCloud(), precision, 16, fitted_screen)
