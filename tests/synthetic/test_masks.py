"""Masks and classes of single pixels of a synthetic scene."""

import numpy as np
import pytest

from cloudmask.synthetic.clouds import Layer
from cloudmask.synthetic.landscape import Surface
from cloudmask.synthetic.masks import (
    bayesian_mask,
    cloud_type,
    surface_type,
    threshold_mask,
    true_mask,
)
from cloudmask.synthetic.physics import Measurement


def row(*values, dtype=np.float32):
    """A plane of one row."""
    return np.array([values], dtype)


def measurement(depth, temperatures=None, reflectances=None):
    pixels = depth.shape
    return Measurement(
        np.zeros((*pixels, 6), np.float32) if reflectances is None else reflectances,
        np.zeros((*pixels, 3), np.float32) if temperatures is None else temperatures,
        depth,
        np.zeros(pixels, np.float32),
    )


def surface(sea, ice=False, snow=0.0, vapour=0.0, shape=(1, 1)):
    def plane(value, dtype=np.float32):
        return np.broadcast_to(np.asarray(value, dtype), shape)

    zero = plane(0)
    return Surface(
        temperature=plane(290),
        air=plane(290),
        water_vapour=plane(vapour),
        sea=plane(sea, bool),
        ice=plane(ice, bool),
        snow=plane(snow),
        vegetation=zero,
        glint=zero,
    )


def test_a_pixel_is_truly_cloud_above_an_optical_depth_of_a_quarter():
    depth = row(0, 0.25, 0.2501, 7)
    assert true_mask(measurement(depth)).tolist() == [[0, 0, 1, 1]]


def test_surfaces_are_sea_sea_ice_land_and_snow():
    found = surface_type(
        surface(
            sea=[[True, False, False, False]],
            ice=[[False, True, False, False]],
            snow=[[0, 0, 0.5, 0.6]],
            shape=(1, 4),
        )
    )
    assert found.tolist() == [[1, 2, 3, 4]]


def test_the_type_of_cloud_is_that_of_the_thickest_layer_and_none_where_it_is_clear():
    names = ("fog", "stratus", "cumulus", "thick", "cirrus")
    depths = [row(*(9 if n == m else 1 for m in range(5)), 1) for n in range(5)]
    layers = [Layer(name, depth, depth, 0.0) for name, depth in zip(names, depths, strict=True)]
    truth = row(1, 1, 1, 1, 1, 0)
    assert cloud_type(layers, truth).tolist() == [[1, 2, 3, 4, 5, 0]]


@pytest.mark.parametrize(
    ("kelvin", "refs", "day", "sea", "flags"),
    [
        ((290, 290, 289.5), (0,) * 6, False, True, 0),
        ((281.9, 281.9, 281.9), (0,) * 6, False, True, 1),
        ((282.1, 282.1, 282.1), (0,) * 6, False, True, 0),
        ((281.9, 281.9, 281.9), (0,) * 6, False, False, 0),
        ((271.9, 271.9, 271.9), (0,) * 6, False, False, 1),
        ((290, 290, 288.4), (0,) * 6, False, True, 2),
        ((284.9, 290, 290), (0,) * 6, False, True, 4),
        ((284.9, 290, 290), (0,) * 6, True, True, 0),
        ((290, 290, 290), (0, 0.39, 0, 0, 0.13, 0), True, True, 4),
        ((290, 290, 290), (0, 0.39, 0, 0, 0.13, 0), True, False, 0),
        ((290, 290, 290), (0, 0.56, 0, 0, 0.13, 0), True, False, 4),
        ((290, 290, 290), (0, 0.9, 0, 0, 0.11, 0), True, True, 0),
        ((290, 290, 290), (0, 0, 0, 0.21, 0, 0), True, True, 8),
        ((270, 270, 268), (0, 0.9, 0, 0.3, 0.3, 0), True, True, 15),
    ],
)
def test_threshold_tests_set_their_bits(kelvin, refs, day, sea, flags):
    measured = measurement(row(0), np.array([[kelvin]], np.float32), np.array([[refs]], np.float32))
    assert threshold_mask(surface(sea), measured, day).item() == flags


def test_thresholds_allow_for_water_vapour():
    """20 kg m-2 cool S8 by 1.8 K, and widen its difference to S9 by 0.9 K."""
    for kelvin, flags in (((280.3, 280.3, 279), 0), ((280.1, 280.1, 279), 1)):
        measured = measurement(row(0), np.array([[kelvin]], np.float32))
        assert threshold_mask(surface(True, vapour=20), measured, False).item() == flags
    for kelvin, flags in (((290, 290, 287.7), 0), ((290, 290, 287.5), 2)):
        measured = measurement(row(0), np.array([[kelvin]], np.float32))
        assert threshold_mask(surface(True, vapour=20), measured, False).item() == flags


def test_the_bayesian_mask_differs_from_the_truth_on_the_given_fraction_of_pixels():
    shape = (1200, 1500)
    depth = np.linspace(0, 1, shape[1], dtype=np.float32)[None, :].repeat(shape[0], axis=0)
    measured = measurement(depth, np.full((*shape, 3), 280, np.float32))
    layers = [Layer("cirrus", np.zeros(shape, np.float32), depth, 1.0)]
    inside = np.ones(shape, bool)
    inside[:, :9] = False
    flags = bayesian_mask(
        np.random.default_rng(0), surface(True, shape=shape), layers, measured, True, 0.05, inside
    )
    wrong = (flags > 0) != (depth > 0.25)
    assert wrong.mean() == pytest.approx(0.05, abs=1e-4)
    assert not wrong[:, :9].any()
    assert set(np.unique(flags)) == {0, 1, 3}
    assert (flags == 3).sum() > (flags == 1).sum()
    assert depth[flags == 3].mean() > depth[flags == 1].mean()
