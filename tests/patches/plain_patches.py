"""Patches cut from the whole arrays of scenes."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from benchmarks.plain import training_patches
from tests.scene_files import read_image_and_label


def plain_patches(scenes: Sequence[Path], size: int) -> tuple[np.ndarray, np.ndarray]:
    """All patches of the scenes and their labels."""
    pairs = [read_image_and_label(path) for path in scenes]
    images, labels = (
        np.concatenate([training_patches(array, size) for array in arrays])
        for arrays in zip(*pairs, strict=True)
    )
    return images, labels
