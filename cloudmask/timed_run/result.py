"""The scientific result of a run: masks of the inference scenes, and their scores."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from cloudmask.config import Config
from cloudmask.inference.whole_scene import overlapped, predict_scene
from cloudmask.model.precision import Precision
from cloudmask.model.prediction import inference_copy
from cloudmask.model.unet import UNet
from cloudmask.science.inference_result import LabelledScene, read_labelled_scene, score_scene
from cloudmask.training.trainer import Progress

Prediction = tuple[LabelledScene, NDArray[np.float32]]


def score_scenes(
    scenes: Sequence[Path],
    network: UNet,
    config: Config,
    precision: Precision,
    progress: Progress,
) -> list[dict[str, float]]:
    """Mask each scene with the network; returns the scores of `score_scene` for each mask.

    Raises:
        SceneError: a scene cannot be read.
    """
    model = inference_copy(network, precision.dtype)

    def predict(scene: LabelledScene) -> Prediction:
        batch_size, tiling = config.evaluation_batch_size, config.tiling
        return scene, predict_scene(model, scene.image, precision, batch_size, tiling)

    def score(_: Path, prediction: Prediction) -> dict[str, float]:
        return score_scene(*prediction, config.min_sst)

    scores = []
    for _, scored in overlapped(scenes, read_labelled_scene, predict, score):
        scores.append(scored.result())
        progress(1)
    return scores
