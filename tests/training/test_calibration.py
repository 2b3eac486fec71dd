"""Temperature scaling against a minimum found on the logits themselves."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from cloudmask.training.calibration import BINS, logit_counts, temperature_of


@pytest.mark.parametrize("temperature", [0.4, 1.0, 2.5])
def test_the_temperature_of_an_overconfident_network_is_found(temperature):
    rng = np.random.default_rng(1)
    logits = rng.normal(0, 3, 400_000)
    labels = rng.random(logits.size) < 1 / (1 + np.exp(-logits))
    counts = logit_counts(torch.from_numpy(logits * temperature), torch.from_numpy(labels))
    assert temperature_of(counts.numpy()) == pytest.approx(temperature, rel=0.02)


def test_pixels_are_counted_by_label_and_side_of_the_threshold():
    logits = torch.tensor([-100.0, -0.001, 0.001, 100.0, float("nan")])
    counts = logit_counts(logits, torch.tensor([0, 1, 0, 1, 1]))
    half = BINS // 2
    assert counts[:, :half].sum(dim=1).tolist() == [1, 1]
    assert counts[:, half:].sum(dim=1).tolist() == [1, 2]
