"""The measures of the twin."""

import numpy as np
import pytest

from benchmarks.twin import SceneStatistics, border_widths, copied_share, table


def test_borders_are_measured_over_rows_that_have_pixels():
    inside = np.zeros((4, 10), bool)
    inside[0, 2:9] = True
    inside[1, 4:7] = True
    assert border_widths(inside) == (3, 2)


def test_copies_are_pixels_that_equal_their_left_neighbour_in_all_channels():
    values = np.array([[[1, 1], [1, 1], [1, 2], [0, 0], [0, 0]]], np.float32)
    inside = np.array([[True, True, True, False, False]])
    assert copied_share(values, inside) == pytest.approx(1 / 3)


def test_the_table_has_mean_and_range_by_day_and_by_night():
    day = SceneStatistics(0.5, 0.6, 0.8, True, 27, 15, 0.1, 310, 0.25, float("nan"), 0.3)
    night = SceneStatistics(0.9, 0.92, 0.7, False, 27, 15, 0, 300, 0.25, 0.002, float("nan"))
    rows = {row[0]: row[2] for row in table([day, night]).rows}
    assert rows["scenes by day"] == "0.50"
    assert rows["cloud by label"] == "0.700 (0.500 to 0.900)"
    assert rows["by night, without borders"] == "0.920 (0.920 to 0.920)"
    assert rows["noise of S5 by night"] == "0.0020 (0.0020 to 0.0020)"
    assert table([night]).rows[2][2] == "-"
