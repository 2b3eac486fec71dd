"""Products as ESA ships them: what is read of them, and what is said of broken ones."""

import json
import os
import shutil

import h5py
import numpy as np
import pytest

from cloudmask.errors import SceneError
from cloudmask.scenes.scene import has_measurement
from cloudmask.scenes.sen3 import read_sen3
from tests.paths import REFERENCE
from tests.scenes.sen3_product import (
    COLUMNS,
    OUTSIDE,
    ROWS,
    bayes_flags,
    sun_zenith,
    threshold_flags,
    write_netcdf,
    write_product,
)


@pytest.fixture(scope="module")
def product(tmp_path_factory):
    return write_product(tmp_path_factory.mktemp("native"))


@pytest.fixture(scope="module")
def seen(product):
    return read_sen3(product)


@pytest.fixture
def copy(product, tmp_path):
    """A product to break: replace its files, do not change them."""
    return shutil.copytree(product, tmp_path / product.name, copy_function=os.link)


def test_measurements_agree_with_satpy(seen):
    satpy = json.loads((REFERENCE / "slstr_satpy.json").read_text())
    rows, columns = np.ix_(satpy["rows"], satpy["columns"])
    cosine = np.cos(np.radians(sun_zenith(rows, columns)))
    for channel in range(9):
        expected = np.array(satpy[f"S{channel + 1}"], dtype=float)
        if channel < 6:
            expected = expected / 100 / cosine
        found = seen.channels[rows, columns, channel]
        np.testing.assert_allclose(found, expected, rtol=2e-5, err_msg=f"S{channel + 1}")


def test_pixels_that_nothing_saw_are_missing(seen):
    assert not has_measurement(seen.channels)[:, :OUTSIDE].any()
    assert has_measurement(seen.channels)[:, OUTSIDE:].all()
    assert np.isnan(seen.channels[300, 400, 6:]).all()
    # Of the four fine pixels of (500, 1000), one is missing; the others give its reflectance.
    neighbours = seen.channels[500, 999:1002:2, :6].mean(axis=0)
    np.testing.assert_allclose(seen.channels[500, 1000, :6], neighbours, rtol=5e-3)


def test_label_and_position_are_those_of_the_product(seen):
    np.testing.assert_array_equal(seen.label, bayes_flags() > 0)
    np.testing.assert_array_equal(seen.summary, threshold_flags() > 0)
    north, east = seen.geolocation
    np.testing.assert_allclose(north[::300, 7], 50 - 0.009 * np.arange(0, ROWS, 300), atol=1e-5)
    np.testing.assert_allclose(east[7, ::300], -10 + 0.014 * np.arange(0, COLUMNS, 300), atol=1e-5)


@pytest.mark.slow
def test_night_has_no_reflected_light_with_and_without_its_files(seen, tmp_path):
    night = write_product(tmp_path, night=True)
    filled = read_sen3(night)
    assert np.all(filled.channels[..., :6] == 0)
    np.testing.assert_array_equal(filled.channels[..., 6:], seen.channels[..., 6:])
    assert not has_measurement(filled.channels)[:, :OUTSIDE].any()

    for file in [*night.glob("S?_radiance_an.nc"), *night.glob("S?_quality_an.nc")]:
        file.unlink()
    (night / "flags_in.nc").unlink()
    (night / "geodetic_in.nc").unlink()
    bare = read_sen3(night)
    np.testing.assert_array_equal(bare.channels, filled.channels)
    assert bare.label is None
    assert bare.geolocation is None


@pytest.mark.parametrize(
    "file",
    [
        "S9_BT_in",
        "geometry_tn",
        "cartesian_tx",
        "cartesian_in",
        "S1_radiance_an",
        "S1_quality_an",
        "indices_an",
    ],
)
def test_missing_files_are_named(copy, file):
    (copy / f"{file}.nc").unlink()
    with pytest.raises(SceneError, match=f"^{copy.name}: {file}.nc is missing"):
        read_sen3(copy)


def replace(copy, file, **variables):
    """Another file in place of the product's."""
    path = copy / f"{file}.nc"
    path.unlink()
    write_netcdf(path, {name: (data, {}) for name, data in variables.items()})


def test_problems_name_product_file_and_variable(copy):
    replace(copy, "S7_BT_in", other=np.zeros((2, 2), np.int16))
    with pytest.raises(SceneError, match=rf"^{copy.name}: S7_BT_in.nc: 'S7_BT_in' is missing"):
        read_sen3(copy)
    replace(copy, "S7_BT_in", S7_BT_in=np.zeros((2, 2), np.int16))
    with pytest.raises(SceneError, match=r"'S7_BT_in' has shape \(2, 2\), expected \(1200, 1500\)"):
        read_sen3(copy)
    (copy / "S7_BT_in.nc").unlink()
    (copy / "S7_BT_in.nc").write_bytes(b"CDF" * 10)
    with pytest.raises(SceneError, match=rf"^{copy.name}: S7_BT_in.nc: the file is not HDF5"):
        read_sen3(copy)


def test_suns_without_angle_or_irradiance_are_refused(copy):
    replace(copy, "S1_quality_an", S1_solar_irradiance_an=np.zeros(4, np.float32))
    with pytest.raises(SceneError, match=r"S1_quality_an.nc: .* no value above 0"):
        read_sen3(copy)
    replace(copy, "geometry_tn", solar_zenith_tn=np.full((ROWS, 130), np.nan))
    with pytest.raises(SceneError, match="no sun angles"):
        read_sen3(copy)


def test_variables_that_lie_in_other_files_are_refused(copy, tmp_path):
    replace(copy, "S7_BT_in", other=np.zeros((2, 2), np.int16))
    with h5py.File(copy / "S7_BT_in.nc", "a") as file:
        file["S7_BT_in"] = h5py.ExternalLink(str(tmp_path / "secret.nc"), "/S7_BT_in")
    with pytest.raises(SceneError, match="is a link to data elsewhere, which is refused"):
        read_sen3(copy)


def test_products_without_a_bayesian_mask_have_no_label(copy):
    replace(copy, "flags_in", cloud_in=np.zeros((ROWS, COLUMNS), np.uint16))
    bare = read_sen3(copy)
    assert bare.label is None
    assert not bare.summary.any()
