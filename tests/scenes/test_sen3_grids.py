"""Grids of a product on each other: worked out by hand on small grids."""

import numpy as np
import pytest

from cloudmask.scenes.sen3_grids import Grid, interpolate, place, shift_of


@pytest.mark.parametrize(
    ("fine", "coarse", "shift"),
    [
        (Grid(19214, 1996), Grid(9607, 998), (0, 0)),  # a product of 2017
        (Grid(40873, 1996), Grid(20437, 998), (-1, 0)),  # of 2021
        (Grid(4081, 1996), Grid(4081, 998), (0, 0)),  # file attributes of 2017
        (Grid(40875, 900), Grid(20437, 450), (1, 0)),
        (Grid(40874, 1995), Grid(20437, 998), (0, 1)),
    ],
)
def test_offsets_give_the_place_of_the_first_fine_pixel(fine, coarse, shift):
    assert shift_of(fine, coarse) == shift


def test_grids_that_do_not_lie_on_each_other_are_refused():
    with pytest.raises(ValueError, match=r"start offsets are 100 at 0\.5 km and 20437 at 1 km"):
        shift_of(Grid(100, 1996), Grid(20437, 998))


@pytest.mark.parametrize("shift", [(-1, 0), (0, 0), (1, 0), (0, 1), (-2, -1), (9, 9)])
@pytest.mark.parametrize("extra", [-2, 0, 1])
def test_fine_pixels_are_placed_where_they_belong(shift, extra):
    height, width = 6 + extra, 8 + extra
    fine = np.arange(height * width, dtype=np.float32).reshape(height, width)
    placed = place(fine, shift, (3, 4), np.nan)
    assert placed.shape == (6, 8)
    for row in range(6):
        for column in range(8):
            source = row - shift[0], column - shift[1]
            inside = 0 <= source[0] < height and 0 <= source[1] < width
            expected = fine[source] if inside else np.nan
            np.testing.assert_equal(placed[row, column], expected)


def test_tie_points_are_interpolated_by_their_offsets_and_need_not_cover_the_swath():
    row, column = np.mgrid[:5, :6].astype(np.float32)
    values = 10 * row + column
    values[:, 4:] = np.nan
    plane = interpolate(values, Grid(100, 2), Grid(101, 20), (4, 70))
    # Column 20 is at tie point 2; row 0 at tie row 1; from tie point 3 on its value is taken.
    np.testing.assert_allclose(plane[0, [20, 28, 36, 69]], [12, 12.5, 13, 13])
    np.testing.assert_allclose(plane[:, 4], [11, 21, 31, 41])
    with pytest.raises(ValueError, match="no tie point has a value"):
        interpolate(np.full((2, 2), np.nan), Grid(0, 0), Grid(0, 0), (2, 2))
