"""Calibration of a trained network by temperature scaling (Guo et al. 2017).

Probabilities become sigmoid(logit / temperature). The mask at 0.5 is the same for any temperature.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar
from torch import Tensor

from cloudmask.distributed.process_group import all_reduce
from cloudmask.model.prediction import inference_copy
from cloudmask.patches.store import PatchStore
from cloudmask.training.trainer import Progress, Trainer

# Logits are counted in bins of 1/32 up to 32 at either side: far finer than a temperature needs.
BINS_PER_UNIT, LARGEST_LOGIT = 32, 32
BINS = 2 * BINS_PER_UNIT * LARGEST_LOGIT
LOWEST, HIGHEST = 0.1, 10.0


def calibrate(trainer: Trainer, store: PatchStore, progress: Progress) -> tuple[float, float]:
    """The temperature that minimises the cross entropy, and the accuracy, over all ranks' patches.

    `progress(n)` is called after each batch of n patches.
    """
    network = inference_copy(trainer.evaluation_model, trainer.precision.dtype)
    counts = torch.zeros(2, BINS, dtype=torch.float64, device=trainer.world.device)
    limit, device = trainer.config.evaluation_batch_size, trainer.world.device
    with torch.inference_mode():
        for images, labels in store.even_batches(limit, device):
            counts += logit_counts(network(images), labels)
            progress(len(labels))
    total = all_reduce(counts).cpu().numpy()
    right = total[0, : BINS // 2].sum() + total[1, BINS // 2 :].sum()
    return temperature_of(total), round(float(right / max(total.sum(), 1)), 6)


def logit_counts(logits: Tensor, labels: Tensor) -> Tensor:
    """Pixels by label (clear, cloud) and bin of the logit: (2, BINS) float64."""
    values = logits.float().nan_to_num().mul(BINS_PER_UNIT).add(BINS // 2).long()
    index = values.clamp(0, BINS - 1) + BINS * (labels > 0).long()
    return torch.bincount(index.flatten(), minlength=2 * BINS).view(2, BINS).double()


def temperature_of(counts: NDArray[np.float64]) -> float:
    """The temperature of `logit_counts`, between 0.1 and 10."""
    centres = (np.arange(BINS) + 0.5) / BINS_PER_UNIT - LARGEST_LOGIT

    def cross_entropy(log_temperature: float) -> float:
        scaled = centres / math.exp(log_temperature)
        losses = np.stack([np.logaddexp(0, scaled), np.logaddexp(0, -scaled)])
        return float((losses * counts).sum())

    bounds = (math.log(LOWEST), math.log(HIGHEST))
    found = minimize_scalar(cross_entropy, bounds=bounds, method="bounded")
    return round(math.exp(float(found.x)), 4)
