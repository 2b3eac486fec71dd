"""Scenes as they come: right, on the fine grid, damaged, and hostile."""

import re

import h5py
import numpy as np
import pytest

from cloudmask.errors import InputError, SceneError
from cloudmask.scenes.hdf5_scene import inspect_scene, read_bands, read_mask
from cloudmask.scenes.layout import list_scenes
from tests.scene_files import product_name, read_image_and_label, write_scene


def test_image_is_normalised_with_reflectances_first(tmp_path):
    path = write_scene(tmp_path / "S3A.hdf", refs=0.7, bts=292.0, bayes=2)
    image, label = read_image_and_label(path)
    assert image.shape == (1200, 1500, 9)
    assert (image.dtype, label.dtype) == (np.float32, np.uint8)
    np.testing.assert_allclose(image[5, 7], [0.2] * 6 + [1.0] * 3, rtol=1e-6)
    assert label.shape == (1200, 1500)
    assert label.min() == 1


def test_fine_reflectances_are_averaged_onto_the_1km_grid(tmp_path):
    fine = np.zeros((2400, 3000, 6), np.float32)
    fine[0, 0], fine[0, 1], fine[1, 0], fine[1, 1] = 0.1, 0.2, 0.3, np.nan
    fine[2, 2:4] = fine[3, 2:4] = np.nan
    image, _ = read_image_and_label(write_scene(tmp_path / "S3A.hdf", refs=fine))
    np.testing.assert_allclose(image[0, 0, :6], 0.2 - 0.5, rtol=1e-5)  # the missing one left out
    assert np.all(image[1, 1, :6] == 0)  # nothing there: missing
    np.testing.assert_allclose(image[9, 9, :6], -0.5)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 9.97e36])
def test_missing_values_become_the_centre_of_the_range(tmp_path, value):
    image, _ = read_image_and_label(write_scene(tmp_path / "S3A.hdf", bts=value))
    assert np.all(image[..., 6:] == 0)


def read_region(path, region):
    """A region's image and label, put together from its bands."""
    parts = {"refs": [], "bts": [], "label": []}
    for band in read_bands(path, [region]):
        parts[band.group].append(band.values.copy())
    refs, bts, label = (np.concatenate(values) for values in parts.values())
    return np.concatenate([refs, bts], axis=-1), label.astype(np.uint8)


def test_a_region_is_that_part_of_the_scene(tmp_path):
    rng = np.random.default_rng(0)
    bts = rng.uniform(220, 300, (1200, 1500, 3)).astype(np.float32)
    path = write_scene(tmp_path / "S3A.hdf", bts=bts, bayes=(bts[..., :1] < 260).astype("u1"))
    image, label = read_image_and_label(path)
    part, part_label = read_region(path, (slice(100, 140), slice(7, 1207)))
    np.testing.assert_array_equal(part, image[100:140, 7:1207])
    np.testing.assert_array_equal(part_label, label[100:140, 7:1207])


def test_mask_is_any_flag_of_any_length_or_none(tmp_path):
    summary = np.zeros((1200, 1500, 4), np.float32)
    summary[3, 4, 2] = 1
    path = write_scene(tmp_path / "S3A.hdf", summary=summary)
    mask = read_mask(path, "summary")
    assert mask is not None
    assert (mask.sum(), mask[3, 4]) == (1, 1)
    assert read_mask(path, "truth") is None


@pytest.mark.parametrize(
    "folders", [("training", "inference"), ("one-day", "ssts/day"), ("one-day/x/y", "ssts/night")]
)
def test_both_folder_layouts_are_listed_in_order(tmp_path, folders):
    for number in (3, 1, 2):
        write_scene(tmp_path / folders[0] / product_name(number))
    write_scene(tmp_path / folders[1] / product_name(4))
    (tmp_path / folders[0] / "README.txt").touch()
    training = list_scenes(tmp_path, "training")
    assert [path.name for path in training] == [product_name(n) for n in (1, 2, 3)]
    assert [path.name for path in list_scenes(tmp_path, "inference")] == [product_name(4)]


def test_folders_without_scenes_are_refused_by_name(tmp_path):
    with pytest.raises(InputError, match="nowhere does not exist"):
        list_scenes(tmp_path / "nowhere", "training")
    with pytest.raises(InputError, match="no training scene"):
        list_scenes(tmp_path, "training")
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match="file is not a folder"):
        list_scenes(tmp_path / "file", "training")


GRID = (1200, 1500)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"bts": None}, "'bts' is missing"),
        ({"bayes": None}, "'bayes' is missing"),
        ({"refs": np.zeros((1200, 1500, 5), "f4")}, r"'refs' has shape (1200, 1500, 5), expected"),
        ({"bts": np.zeros((1200, 1500), "f4")}, "'bts' has shape (1200, 1500)"),
        ({"bts": np.zeros((*GRID, 3), "i2")}, "'bts' has type int16, expected floating point"),
        ({"bayes": np.full((*GRID, 1), b"x")}, "'bayes' has type |S1, expected numbers"),
    ],
)
def test_schema_errors_name_file_group_and_expectation(tmp_path, changes, message):
    path = write_scene(tmp_path / "S3A_bad.hdf", **changes)
    with pytest.raises(SceneError, match=re.escape(f"S3A_bad.hdf: {message}")):
        inspect_scene(path)


def test_a_group_in_place_of_a_data_set_is_refused(tmp_path):
    path = write_scene(tmp_path / "S3A.hdf", refs=None)
    with h5py.File(path, "a") as file:
        file.create_group("refs")
    with pytest.raises(SceneError, match="'refs' is not a data set"):
        inspect_scene(path)


def test_truncated_and_foreign_files_are_named(tmp_path):
    path = write_scene(tmp_path / "S3A_cut.hdf")
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2])
    with pytest.raises(SceneError, match=r"S3A_cut.hdf: the file is truncated"):
        inspect_scene(path)
    path.write_bytes(b"PK" + data)
    with pytest.raises(SceneError, match="not HDF5"):
        inspect_scene(path)
    path.write_bytes(b"")
    with pytest.raises(SceneError, match=r"S3A_cut.hdf: "):
        inspect_scene(path)


def secret_scene(tmp_path):
    return write_scene(tmp_path / "elsewhere.hdf", bts=200.0)


def link_external(file, secret):
    file["bts"] = h5py.ExternalLink(str(secret), "/bts")


def link_soft(file, secret):
    file["hidden"] = np.zeros((1200, 1500, 3), "f4")
    file["bts"] = h5py.SoftLink("/hidden")


def map_virtually(file, secret):
    layout = h5py.VirtualLayout((1200, 1500, 3), "f4")
    layout[...] = h5py.VirtualSource(str(secret), "bts", (1200, 1500, 3))
    file.create_virtual_dataset("bts", layout)


def store_externally(file, secret):
    size = 1200 * 1500 * 3 * 4
    file.create_dataset("bts", (1200, 1500, 3), "f4", external=[(str(secret), 0, size)])


@pytest.mark.parametrize("trick", [link_external, link_soft, map_virtually, store_externally])
def test_scenes_that_reach_for_other_files_are_refused(tmp_path, trick):
    path = write_scene(tmp_path / "S3A_trick.hdf", bts=None)
    with h5py.File(path, "a") as file:
        trick(file, secret_scene(tmp_path))
    for use in (inspect_scene, read_image_and_label):
        with pytest.raises(SceneError, match=r"S3A_trick.hdf: 'bts' .* refused"):
            use(path)
