"""The Gaussian filter by a Fourier transform is SciPy's."""

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from cloudmask.science.sst.gaussian import gaussian_of_two


@pytest.mark.parametrize("shape", [(200, 400), (301, 257), (90, 1000)])
@pytest.mark.parametrize("sigma", [3.0, 20.0])
def test_both_planes_are_those_of_scipy_with_0_beyond_the_edges(shape, sigma):
    random = np.random.default_rng(1)
    planes = [random.random(shape).astype(np.float32) - 0.2 for _ in range(2)]
    for found, plane in zip(gaussian_of_two(*planes, sigma), planes, strict=True):
        assert found.dtype == np.float32
        expected = gaussian_filter(plane.astype(float), sigma, mode="constant")
        np.testing.assert_allclose(found, expected, atol=1e-6)


def test_the_edge_of_one_plane_does_not_come_back_at_the_other_side():
    plane = np.zeros((200, 200), np.float32)
    plane[:, 0] = 1
    found, other = gaussian_of_two(plane, np.zeros_like(plane), 20.0)
    assert abs(found[:, 150:]).max() < 1e-7
    assert abs(other).max() < 1e-7
