"""All data sets of a synthetic scene."""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np
from numpy.typing import NDArray

from cloudmask.synthetic.generate import SHAPES

Scene = dict[str, NDArray[np.float32]]


def read(path: Path) -> Scene:
    """The data sets by name."""
    with h5py.File(path) as file:
        return {name: file[name][...] for name in SHAPES}
