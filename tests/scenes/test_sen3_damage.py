"""Products with a file that is truncated, of another type or shape, or hostile: refused by name."""

import h5py
import numpy as np
import pytest

from cloudmask.errors import SceneError
from cloudmask.scenes.readers import read_scene
from tests.scenes.sen3_product import SMALL, small_content, write_product


def flags_as_floats(file):
    del file["confidence_in"]
    file["confidence_in"] = np.zeros(SMALL, np.float32)


def bayes_of_another_shape(file):
    del file["bayes_in"]
    file["bayes_in"] = np.zeros((38, 59), np.uint8)


def bayes_of_terabytes(file):
    del file["bayes_in"]
    file.create_dataset("bayes_in", (2**30, 2**20), np.uint8, chunks=(1024, 1024))


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (flags_as_floats, r"'confidence_in' has type float32, expected numbers"),
        (bayes_of_another_shape, r"'bayes_in' has shape \(38, 59\), expected \(38, 60\)"),
        (bayes_of_terabytes, r"'bayes_in' has shape \(1073741824, 1048576\), expected"),
    ],
)
def test_flags_that_cannot_be_meant_are_refused_by_name(tmp_path, spoil, reason):
    product = write_product(tmp_path, small_content())
    with h5py.File(product / "flags_in.nc", "a") as file:
        spoil(file)
    with pytest.raises(SceneError, match=rf"^{product.name}: flags_in\.nc: {reason}"):
        read_scene(product)


@pytest.mark.parametrize("name", ["S7_BT_in", "S1_radiance_an", "geometry_tn"])
def test_a_variable_that_declares_terabytes_is_refused_before_it_is_read(tmp_path, name):
    product = write_product(tmp_path, small_content())
    variable = {"geometry_tn": "solar_zenith_tn"}.get(name, name)
    with h5py.File(product / f"{name}.nc", "a") as file:
        del file[variable]
        file.create_dataset(variable, (2**30, 2**20), np.int16, chunks=(1024, 1024))
    with pytest.raises(
        SceneError, match=rf"{name}\.nc: '{variable}' has \d+ values, more than any"
    ):
        read_scene(product)


@pytest.mark.parametrize("name", ["flags_in", "geodetic_in", "S4_radiance_an", "S5_quality_an"])
def test_a_truncated_file_of_a_product_is_named(tmp_path, name):
    product = write_product(tmp_path, small_content())
    path = product / f"{name}.nc"
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(SceneError, match=rf"^{product.name}: {name}\.nc: the file is truncated"):
        read_scene(product)
