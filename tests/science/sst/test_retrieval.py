"""SST from brightness temperatures, by hand."""

import numpy as np
import pytest

from cloudmask.science.pixel_features import PixelFeatures
from cloudmask.science.sst.retrieval import sea_surface_temperature


def test_sst_by_day_is_that_of_the_split_window_and_by_night_of_the_triple_window():
    channels = np.zeros((2, 1, 9), np.float32)
    channels[:, 0, 6:] = (292, 290, 288.5)
    channels[0, 0, :3] = 0.1  # day
    day, night = sea_surface_temperature(PixelFeatures(channels))[:, 0]
    assert day == pytest.approx(0.963563 * 290 + 2.579211 * 1.5 - 263.006 + 273.15, abs=1e-3)
    assert night == pytest.approx(1.000281 * 290 + 0.911173 * 3.5 - 271.971 + 273.15, abs=1e-3)
