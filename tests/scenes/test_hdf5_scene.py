"""Scenes in HDF5: their bands, masks and classes, and files with a wrong or hostile schema."""

import re

import h5py
import numpy as np
import pytest

from cloudmask.errors import SceneError
from cloudmask.scenes.hdf5_scene import (
    inspect_scene,
    read_bands,
    read_channels,
    read_classes,
    read_mask,
)
from cloudmask.scenes.scene import normalise
from tests.scene_files import compress_with_missing_filter, write_scene

GRID = (1200, 1500)
REGION = (slice(100, 140), slice(7, 207))


def read_region(path, region):
    """A region's image and label, put together from its bands."""
    groups = {"refs": [], "bts": [], "label": []}
    for band in read_bands(path, [region]):
        assert band.rows.start == sum(map(len, groups[band.group]))
        groups[band.group].append(band.values.copy())
    refs, bts, label = (np.concatenate(bands) for bands in groups.values())
    return np.concatenate([refs, bts], axis=-1), label


def sparse(shape, region, values, background):
    """A data set to write: one value, but for a region."""
    data = np.full(shape, background, np.float32)
    data[region] = values
    return data


@pytest.fixture(scope="module")
def scene(tmp_path_factory):
    """A scene in which every pixel of `REGION` differs from its neighbours."""
    rng = np.random.default_rng(0)
    kelvin = rng.uniform(220, 300, (40, 200, 3))
    kelvin[3, 4, 1] = np.nan
    flags = rng.choice([0, 0.5, 1, 2, 3], (40, 200, 1))
    return write_scene(
        tmp_path_factory.mktemp("scene") / "S3A.hdf",
        bts=sparse((*GRID, 3), REGION, kelvin, 280),
        bayes=sparse((*GRID, 1), REGION, flags, 0),
    )


@pytest.mark.parametrize("band_bytes", [1, 20_000, 2**20])
def test_bands_of_any_height_give_the_region_of_the_scene(scene, monkeypatch, band_bytes):
    monkeypatch.setattr("cloudmask.scenes.hdf5_scene.BAND_BYTES", band_bytes)
    image, label = read_region(scene, REGION)
    expected = normalise(read_channels(scene)[REGION].copy())
    np.testing.assert_array_equal(image, expected)
    assert image[3, 4, 7] == pytest.approx(-270 / 22)
    np.testing.assert_array_equal(label, read_mask(scene, "bayes")[REGION])


def test_bands_number_their_regions_and_keep_their_order(scene):
    regions = [(slice(8, 12), slice(0, 5)), (slice(0, 3), slice(1490, 1500))]
    found = [(band.group, band.region, band.values.shape) for band in read_bands(scene, regions)]
    assert found == [
        ("refs", 0, (4, 5, 6)),
        ("refs", 1, (3, 10, 6)),
        ("bts", 0, (4, 5, 3)),
        ("bts", 1, (3, 10, 3)),
        ("label", 0, (4, 5)),
        ("label", 1, (3, 10)),
    ]


def test_a_pixel_is_cloud_where_bayes_is_above_zero(scene):
    with h5py.File(scene) as file:
        flags = file["bayes"][REGION][..., 0]
    assert set(np.unique(flags)) == {0, 0.5, 1, 2, 3}
    label = read_region(scene, REGION)[1]
    assert label.dtype == bool
    for value in (0, 0.5, 1, 2, 3):
        assert set(label[flags == value]) == {value > 0}


def test_a_region_of_the_half_kilometre_grid_is_averaged_at_its_place(tmp_path):
    rng = np.random.default_rng(1)
    block = rng.random((80, 400, 6), np.float32)
    path = write_scene(tmp_path / "S3A.hdf", refs=None)
    with h5py.File(path, "a") as file:
        refs = file.create_dataset("refs", (2400, 3000, 6), "f4", chunks=True)
        refs[200:280, 14:414] = block
    image, _ = read_region(path, REGION)
    means = block.reshape(40, 2, 200, 2, 6).mean(axis=(1, 3))
    np.testing.assert_allclose(image[..., :6], means - 0.5, atol=1e-6)


def test_mask_is_any_flag_of_any_length_or_none(tmp_path):
    summary = np.zeros((*GRID, 4), np.uint16)
    summary[3, 4, 2], summary[3, 5, 3] = 1, 0x8000
    path = write_scene(tmp_path / "S3A.hdf", summary=summary)
    mask = read_mask(path, "summary")
    assert (mask.dtype, mask.sum()) == (np.uint8, 2)
    assert mask[3, 3:6].tolist() == [0, 1, 1]
    assert read_mask(path, "truth") is None


def test_classes_are_known_by_the_attributes_of_cf(tmp_path):
    surface = np.zeros((*GRID, 1), np.uint8)
    surface[7, 8] = 2
    path = write_scene(tmp_path / "S3A.hdf", surface=surface)
    assert read_classes(path, "cloud_type") is None
    assert read_classes(path, "surface") is None
    with h5py.File(path, "a") as file:
        file["surface"].attrs.update(flag_values=[0, 2], flag_meanings="unknown sea_ice")
    values, names = read_classes(path, "surface")
    np.testing.assert_array_equal(values, surface[..., 0])
    assert names == {0: "unknown", 2: "sea_ice"}


def test_a_scene_is_synthetic_only_if_its_file_names_a_generator(tmp_path):
    path = write_scene(tmp_path / "S3A.hdf")
    assert inspect_scene(path) == ""
    with h5py.File(path, "a") as file:
        file.attrs["generator"] = "any program"
    assert inspect_scene(path) == "synthetic"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"bts": None}, "'bts' is missing; give a scene that has it"),
        ({"bayes": None}, "'bayes' is missing; give a scene that has it"),
        (
            {"refs": np.zeros((1200, 1500, 5), "f4")},
            "'refs' has shape (1200, 1500, 5), expected (1200, 1500, 6) or (2400, 3000, 6)",
        ),
        (
            {"bts": np.zeros((1200, 1500), "f4")},
            "'bts' has shape (1200, 1500), expected (1200, 1500, 3)",
        ),
        ({"bts": np.zeros((*GRID, 3), "i2")}, "'bts' has type int16, expected floating point"),
        ({"bayes": np.full((*GRID, 1), b"x")}, "'bayes' has type |S1, expected numbers"),
    ],
)
def test_schema_errors_name_file_group_and_expectation(tmp_path, changes, message):
    path = write_scene(tmp_path / "S3A_bad.hdf", **changes)
    with pytest.raises(SceneError, match=f"^{re.escape(f'S3A_bad.hdf: {message}')}$"):
        inspect_scene(path)


@pytest.mark.parametrize("name", ["refs", "bts", "bayes"])
@pytest.mark.parametrize(("number", "title"), [(32015, "Zstandard"), (39999, "no name")])
def test_a_filter_that_is_not_installed_is_named_at_inspection(tmp_path, name, number, title):
    path = write_scene(tmp_path / "S3A.hdf")
    inspect_scene(path)
    compress_with_missing_filter(path, name, number)
    expected = f"S3A.hdf: '{name}' needs HDF5 filter {number} ({title}), which is not installed: "
    with pytest.raises(SceneError, match=f"^{re.escape(expected)}install it, "):
        inspect_scene(path)


def test_a_data_set_that_is_not_read_may_have_any_filter(tmp_path):
    path = compress_with_missing_filter(write_scene(tmp_path / "S3A.hdf"), "rads")
    inspect_scene(path)
    assert read_channels(path).shape == (*GRID, 9)


def test_masks_off_the_grid_are_refused(tmp_path):
    path = write_scene(tmp_path / "S3A.hdf", summary=np.zeros((1200, 1499, 1), "u1"))
    expected = r"'summary' has shape \(1200, 1499, 1\), expected \(1200, 1500, any\)"
    with pytest.raises(SceneError, match=expected):
        read_mask(path, "summary")


def test_a_group_in_place_of_a_data_set_is_refused(tmp_path):
    path = write_scene(tmp_path / "S3A.hdf", refs=None)
    with h5py.File(path, "a") as file:
        file.create_group("refs")
    with pytest.raises(SceneError, match="'refs' is not a data set"):
        inspect_scene(path)


def link_external(file, secret):
    file["bts"] = h5py.ExternalLink(str(secret), "/bts")


def link_soft(file, secret):
    file.create_dataset("hidden", (*GRID, 3), "f4", chunks=True)
    file["bts"] = h5py.SoftLink("/hidden")


def map_virtually(file, secret):
    layout = h5py.VirtualLayout((*GRID, 3), "f4")
    layout[...] = h5py.VirtualSource(str(secret), "bts", (*GRID, 3))
    file.create_virtual_dataset("bts", layout)


def store_externally(file, secret):
    size = 1200 * 1500 * 3 * 4
    file.create_dataset("bts", (*GRID, 3), "f4", external=[(str(secret), 0, size)])


@pytest.mark.parametrize("trick", [link_external, link_soft, map_virtually, store_externally])
def test_scenes_that_reach_for_other_files_are_refused(tmp_path, trick):
    path = write_scene(tmp_path / "S3A_trick.hdf", bts=None)
    with h5py.File(path, "a") as file:
        trick(file, write_scene(tmp_path / "elsewhere.hdf", bts=200.0))
    for use in (inspect_scene, read_channels):
        with pytest.raises(SceneError, match=r"^S3A_trick.hdf: 'bts' .* refused"):
            use(path)
