"""Normalisation, missing values and averaging, on a few pixels worked out by hand."""

import numpy as np
import pytest

from cloudmask.scenes.missing import average_2x2
from cloudmask.scenes.scene import (
    make_scene,
    normalise,
    normalise_reflectances,
    normalise_temperatures,
)

# Not finite, NetCDF's and netCDF4's fill values, and those that converters use.
FILL_VALUES = [
    *(np.nan, np.inf, -np.inf, 9.97e36, -1e30, 3e5),
    *(-999, -9999, 9999, -32768, 32767, 65535, -1.5e9),
]
PIXEL = [0.1, 0.3, 0.5, 0.7, 0.9, 1.1, 248.0, 270.0, 281.0]


def image(pixel=PIXEL):
    """An image of 3 x 2 equal pixels."""
    return np.tile(np.array(pixel, np.float32), (3, 2, 1))


def test_reflectances_lose_one_half_and_temperatures_are_in_units_of_22_kelvin_around_270():
    found = normalise(image())
    expected = [-0.4, -0.2, 0.0, 0.2, 0.4, 0.6, -1.0, 0.0, 0.5]
    np.testing.assert_allclose(found[1, 1], expected, atol=1e-7)
    assert (found.shape, found.dtype) == ((3, 2, 9), np.float32)


@pytest.mark.parametrize("value", [*FILL_VALUES, 0])
@pytest.mark.parametrize("channel", [0, 5, 6, 8])
def test_missing_values_are_normalised_as_0_and_no_other_value_changes(value, channel):
    expected = normalise(image())
    expected[1, 1, channel] = -0.5 if channel < 6 else -270 / 22
    channels = image()
    channels[1, 1, channel] = value
    np.testing.assert_allclose(normalise(channels), expected, rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("value", [*FILL_VALUES, 0])
def test_missing_values_of_one_contiguous_group_are_normalised_as_0_too(value):
    """The reader normalises bands, which are contiguous, and takes a shorter way with them."""
    kelvin = np.array([[[248, value, 281]]], np.float32)
    found = normalise_temperatures(kelvin)
    np.testing.assert_allclose(found, [[[-1, -270 / 22, 0.5]]], rtol=1e-6)
    reflectances = np.array([[[0.1, value, 1.1]]], np.float32)
    np.testing.assert_allclose(normalise_reflectances(reflectances), [[[-0.4, -0.5, 0.6]]], 1e-6)


@pytest.mark.parametrize("value", FILL_VALUES)
@pytest.mark.parametrize("channel", range(9))
def test_a_scene_has_0_where_a_channel_is_missing_and_knows_where_that_is(value, channel):
    channels = image()
    channels[1, 1, channel] = value
    scene = make_scene(channels)
    expected = image()
    expected[1, 1, channel] = 0
    np.testing.assert_array_equal(scene.channels, expected)
    assert np.argwhere(scene.missing).tolist() == [[1, 1, channel]]
    assert not scene.not_measured.any()


@pytest.mark.parametrize(
    ("pixel", "missing"),
    [
        ([0.0] * 6 + [0.0] * 3, [True] * 9),  # the data set's border
        ([0.0] * 6 + [280.0, 280.0, 280.0], [False] * 9),  # its night
        ([0.0] * 6 + [0.0, 280.0, 0.0], [False] * 6 + [True, False, True]),
        ([0.3, -0.1] + [0.0] * 4 + [0.0] * 3, [False] * 2 + [True] * 7),
        ([np.nan] * 6 + [-43.9] * 3, [True] * 9),  # a fill value to which scale and offset went
    ],
)
def test_reflectance_0_is_missing_only_where_all_temperatures_are(pixel, missing):
    scene = make_scene(image(pixel))
    assert scene.missing[2, 1].tolist() == missing
    assert scene.not_measured.tolist() == [[all(missing)] * 2] * 3


@pytest.mark.parametrize(
    ("normalised", "values"),
    [(normalise_reflectances, [-0.9, 0, 9.9]), (normalise_temperatures, [0, 185, 499])],
)
def test_values_within_physical_bounds_are_measurements(normalised, values):
    given = np.array([[values]], np.float32)
    expected = given - 0.5 if values[2] < 10 else (given - 270) / 22
    np.testing.assert_allclose(normalised(given.copy()), expected, rtol=1e-6)


def test_an_average_is_over_the_fine_pixels_that_are_there():
    fine = np.array(
        [
            [1, 2, -999, 5, np.nan, 65535],
            [3, 8, 6, 7, np.inf, -32768],
            [0, 0, 4, np.nan, -1, 1],
            [0, 9, np.nan, -np.inf, -1, 1],
        ],
        np.float32,
    )
    expected = [[3.5, 6, np.nan], [2.25, 4, 0]]
    np.testing.assert_array_equal(average_2x2(fine), np.array(expected, np.float32))
    channels = np.stack([fine, fine / 2], axis=-1)
    np.testing.assert_array_equal(average_2x2(channels)[..., 1], average_2x2(fine) / 2)
