"""SLSTR products: their physics against satpy, their packing, and what a broken one is told."""

import json
import os
import shutil

import h5py
import numpy as np
import pytest

from cloudmask.errors import SceneError
from cloudmask.scenes.sen3 import read_sen3
from tests.paths import REFERENCE
from tests.scenes.sen3_product import (
    COLUMNS,
    OUTSIDE,
    ROWS,
    SUMMARY_CLOUD,
    sloped_content,
    sun_zenith,
    write_netcdf,
    write_product,
)


@pytest.fixture(scope="module")
def product(tmp_path_factory):
    return write_product(tmp_path_factory.mktemp("product"))


@pytest.fixture(scope="module")
def scene(product):
    return read_sen3(product)


@pytest.fixture
def copy(product, tmp_path):
    """A product to break: replace its files, do not change them."""
    return shutil.copytree(product, tmp_path / product.name, copy_function=os.link)


def test_channels_agree_with_satpy(scene):
    satpy = json.loads((REFERENCE / "slstr_satpy.json").read_text())
    rows, columns = np.ix_(satpy["rows"], satpy["columns"])
    cosine = np.cos(np.radians(sun_zenith(rows, columns)))
    for channel in range(9):
        expected = np.array(satpy[f"S{channel + 1}"], dtype=float)
        if channel < 6:
            expected = expected / 100 / cosine
        found = scene.channels[rows, columns, channel]
        np.testing.assert_array_equal(scene.missing[rows, columns, channel], np.isnan(expected))
        expected = np.nan_to_num(expected)
        np.testing.assert_allclose(found, expected, rtol=2e-5, err_msg=f"S{channel + 1}")


def test_pixels_outside_the_swath_are_missing(scene):
    assert scene.not_measured[:, :OUTSIDE].all()
    assert not scene.not_measured[:, OUTSIDE:].any()


def test_geolocation_is_that_of_the_product(scene):
    north, east = scene.geolocation
    np.testing.assert_allclose(north[::300, 7], 50 - 0.009 * np.arange(0, ROWS, 300), atol=1e-5)
    np.testing.assert_allclose(east[7, ::300], -10 + 0.014 * np.arange(0, COLUMNS, 300), atol=1e-5)


@pytest.mark.slow
def test_night_has_no_reflected_light_with_and_without_its_files(scene, tmp_path):
    night = write_product(tmp_path, sloped_content(night=True))
    filled = read_sen3(night)
    assert np.all(filled.channels[..., :6] == 0)
    np.testing.assert_array_equal(filled.channels[..., 6:], scene.channels[..., 6:])
    assert filled.not_measured[:, :OUTSIDE].all()
    dark = filled.missing[..., :6].any(axis=-1)  # only where no temperature tells it from nothing
    np.testing.assert_array_equal(dark, filled.missing[..., 6:].all(axis=-1))

    for file in [*night.glob("S?_radiance_an.nc"), *night.glob("S?_quality_an.nc")]:
        file.unlink()
    (night / "geodetic_in.nc").unlink()
    bare = read_sen3(night)
    np.testing.assert_array_equal(bare.channels, filled.channels)
    assert bare.geolocation is None


@pytest.mark.parametrize(
    "file",
    ["S9_BT_in", "geometry_tn", "S1_radiance_an", "S1_quality_an"],
)
def test_missing_files_are_named(copy, file):
    (copy / f"{file}.nc").unlink()
    with pytest.raises(SceneError, match=f"^{copy.name}: {file}.nc is missing; give the whole"):
        read_sen3(copy)


def replace(copy, file, **variables):
    """Another file in place of the product's."""
    path = copy / f"{file}.nc"
    path.unlink()
    write_netcdf(path, {name: (data, {}) for name, data in variables.items()})


def test_irradiances_that_differ_need_the_detector_of_each_pixel(copy):
    replace(copy, "S1_quality_an", S1_solar_irradiance_an=np.array([1800, 1900], np.float32))
    (copy / "indices_an.nc").unlink()
    with pytest.raises(SceneError, match=f"^{copy.name}: indices_an.nc is missing"):
        read_sen3(copy)


def test_problems_name_product_file_and_variable(copy):
    replace(copy, "S7_BT_in", other=np.zeros((2, 2), np.int16))
    with pytest.raises(SceneError, match=rf"^{copy.name}: S7_BT_in.nc: 'S7_BT_in' is missing"):
        read_sen3(copy)
    replace(copy, "S7_BT_in", S7_BT_in=np.zeros((2, 2), np.int16))
    with pytest.raises(SceneError, match=r"'S8_BT_in' has shape \(1200, 1500\), expected \(2, 2\)"):
        read_sen3(copy)


def test_suns_without_angle_or_irradiance_are_refused(copy):
    replace(copy, "S1_quality_an", S1_solar_irradiance_an=np.zeros(4, np.float32))
    with pytest.raises(SceneError, match=r"S1_quality_an.nc: .* no value above 0"):
        read_sen3(copy)
    replace(copy, "geometry_tn", solar_zenith_tn=np.full((ROWS, 130), np.nan))
    with pytest.raises(SceneError, match="'solar_zenith_tn': no tie point has a value"):
        read_sen3(copy)


def test_variables_in_other_files_are_refused(copy, tmp_path):
    replace(copy, "S7_BT_in", other=np.zeros((2, 2), np.int16))
    with h5py.File(copy / "S7_BT_in.nc", "a") as file:
        file["S7_BT_in"] = h5py.ExternalLink(str(tmp_path / "secret.nc"), "/S7_BT_in")
    with pytest.raises(SceneError, match="is a link to data elsewhere, which is refused"):
        read_sen3(copy)


def test_a_product_without_bayesian_mask_has_no_label_but_its_summary(copy):
    replace(copy, "flags_in", confidence_in=np.full((ROWS, COLUMNS), SUMMARY_CLOUD, np.uint16))
    (copy / "geodetic_in.nc").unlink()
    bare = read_sen3(copy)
    assert (bare.label, bare.geolocation) == (None, None)
    assert bare.summary.all()
