"""The background SST: a warm end over the scene, a local mean near it, and what has neither."""

import numpy as np
import pytest
from scipy.stats import norm

from cloudmask.science.sst.background import background_sst

SHAPE = (200, 240)
COLUMN = np.arange(SHAPE[1])
EVERYWHERE = np.ones(SHAPE, bool)


def background_of(sst, coherent=EVERYWHERE, surface_known=True):
    full = np.broadcast_to(sst, SHAPE).astype(np.float32)
    return background_sst(full, coherent, surface_known)


@pytest.mark.parametrize(("colder", "kept"), [(0.9, True), (1.1, False)])
def test_it_leaves_out_pixels_more_than_1_kelvin_below_a_first_mean(colder, kept):
    sst = np.full(SHAPE, 290.0)
    sst[98:103, 118:123] -= colder
    middle = background_of(sst)[100, 120]
    assert (middle < 290 - 0.005) == kept
    assert middle == pytest.approx(290, abs=0.02 if kept else 1e-4)


def test_it_is_a_gaussian_mean_of_20_km_near_coherent_pixels():
    background = background_of(290 + (COLUMN >= 120))
    expected = 290 + norm.cdf(COLUMN + 0.5 - 120, scale=20)
    np.testing.assert_allclose(background, np.broadcast_to(expected, SHAPE), atol=0.002)


def test_far_from_coherent_pixels_it_is_the_smooth_surface_of_the_scene():
    """Without a surface the far half has none. The sea warms by 3 K over the scene."""
    sea = 290 + 3 * (COLUMN + 0.5) / SHAPE[1]
    coherent = np.broadcast_to(COLUMN < 150, SHAPE)
    observed = np.where(coherent, sea, 240)
    assert background_of(observed, coherent)[:, 230] == pytest.approx(
        np.full(200, sea[230]), abs=0.3
    )
    assert np.isnan(background_of(observed, coherent, surface_known=False)[:, 230]).all()


def test_smooth_cloud_does_not_draw_it_down():
    """The deck is as smooth as the sea and 5 K colder."""
    deck = (COLUMN >= 100) & (COLUMN < 150)
    assert background_of(290 - 5 * deck) == pytest.approx(np.full(SHAPE, 290), abs=0.5)


def test_hot_land_of_an_unknown_surface_does_not_make_the_sea_cold():
    land = np.broadcast_to(COLUMN >= 150, SHAPE)
    background = background_of(290 + 20 * land, surface_known=False)
    assert background[:, :80] == pytest.approx(np.full((200, 80), 290), abs=0.1)
    assert background[:, 220:] == pytest.approx(np.full((200, 20), 310), abs=0.1)


def test_a_scene_without_coherent_pixels_has_none():
    assert np.isnan(background_of(290, ~EVERYWHERE)).all()
