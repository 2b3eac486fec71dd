"""Weighted binary cross entropy against the reference's numbers."""

import numpy as np
import pytest
import torch

from cloudmask.model.loss import weighted_bce


@pytest.mark.parametrize("weight", ["0.5", "1.0", "2.0"])
def test_wbce_agrees_with_reference(weight, reference_scalars):
    rs = np.random.RandomState(1235)
    labels = torch.from_numpy((rs.rand(2, 32, 32, 1) > 0.6).astype(np.float32))
    probability = torch.from_numpy(rs.rand(2, 32, 32, 1).astype(np.float32))
    loss = weighted_bce(torch.logit(probability), labels, float(weight))
    assert loss.item() == pytest.approx(reference_scalars["weighted_bce"][weight], rel=1e-5)


@pytest.mark.parametrize(("logit", "label"), [(1e6, 0), (-1e6, 1)])
def test_probabilities_are_clipped_so_that_the_loss_stays_finite(logit, label):
    loss = weighted_bce(torch.tensor([logit]), torch.tensor([label]), 1.0)
    assert loss.item() == pytest.approx(-np.log(1e-7), rel=1e-3)


def test_loss_of_half_precision_logits_is_computed_in_float32():
    logits = torch.full((100_000,), 0.1, dtype=torch.float16)
    loss = weighted_bce(logits, torch.zeros(100_000))
    assert loss.dtype == torch.float32
    assert loss.item() == pytest.approx(np.log1p(np.exp(float(logits[0]))), rel=1e-5)
