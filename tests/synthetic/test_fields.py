"""Random fields with the spectra that were asked for."""

import numpy as np
import pytest

from cloudmask.synthetic.fields import cellular_field, random_field, smoothed


def field(slope=2.0, outer_km=300, **options):
    return random_field(np.random.default_rng(0), slope, outer_km, **options)


def roughness(values, axis=None):
    steps = [np.abs(np.diff(values, axis=n)).mean() for n in (0, 1)]
    return float(np.mean(steps) if axis is None else steps[axis])


def test_a_field_has_mean_0_and_deviation_1_and_depends_on_its_generator_alone():
    one, other = field(), random_field(np.random.default_rng(1), 2.0, 300)
    assert (one.shape, one.dtype) == ((1200, 1500), np.float32)
    assert one.mean() == pytest.approx(0, abs=1e-4)
    assert one.std() == pytest.approx(1, abs=1e-4)
    np.testing.assert_array_equal(one, field())
    assert abs(np.corrcoef(one.ravel(), other.ravel())[0, 1]) < 0.5


@pytest.mark.parametrize("slope", [5 / 3, 3.0])
def test_the_spectrum_falls_with_the_slope_that_was_asked_for(slope):
    power = (np.abs(np.fft.rfft(field(slope), axis=1)) ** 2).mean(axis=0)
    k = np.arange(1, power.size) / 1500
    inner = (k > 0.02) & (k < 0.2)  # between the outer scale and the grid's
    found = np.polyfit(np.log(k[inner]), np.log(power[1:][inner]), 1)[0]
    assert found == pytest.approx(-slope, abs=0.1)


def test_an_inner_scale_removes_detail_and_an_outer_one_removes_large_structure():
    assert roughness(field(inner_km=4)) < 0.7 * roughness(field())
    assert roughness(field(outer_km=30)) > 1.5 * roughness(field())


def test_an_elongated_field_is_smoother_along_its_axis():
    along_columns = field(elongation=4.0, angle=0.0)
    assert roughness(along_columns, 1) < 0.6 * roughness(along_columns, 0)
    along_rows = field(elongation=4.0, angle=np.pi / 2)
    assert roughness(along_rows, 0) < 0.6 * roughness(along_rows, 1)


def test_cells_are_as_far_apart_as_asked():
    cells = cellular_field(np.random.default_rng(0), 20)
    spectrum = (np.abs(np.fft.rfft2(cells)) ** 2)[:200, :200]
    row, column = np.unravel_index(spectrum.argmax(), spectrum.shape)
    assert 15 < 1 / np.hypot(row / 1200, column / 1500) < 27


def test_smoothing_keeps_the_mean_and_spreads_a_point_by_its_radius():
    point = np.zeros((1200, 1500), np.float32)
    point[600, 700] = 1
    spread = smoothed(point, 12)
    assert spread.sum() == pytest.approx(1, abs=1e-3)
    distance = (np.arange(1500) - 700) ** 2
    assert np.sqrt((spread.sum(axis=0) * distance).sum()) == pytest.approx(12, rel=0.02)
