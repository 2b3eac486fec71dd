"""Geometry against the reference's vectors, and as properties."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.model_selection import train_test_split

from cloudmask.patches import geometry as patches
from tests.paths import REFERENCE
from tests.scene_files import read_image_and_label, write_scene


@pytest.fixture(scope="module")
def vectors():
    return np.load(REFERENCE / "scene.npz")


@pytest.fixture(scope="module")
def scene(reference_scene, tmp_path_factory):
    return read_image_and_label(
        write_scene(tmp_path_factory.mktemp("scene") / "S3A.hdf", **reference_scene)
    )


def test_training_patches_agree_with_reference(scene, vectors):
    image, label = (patches.training_patches(array) for array in scene)
    assert image.shape == (20, 256, 256, 9)
    np.testing.assert_allclose(image[:, ::32, ::32], vectors["train_patch_sample"], atol=1e-5)
    np.testing.assert_array_equal(
        label[:, ::32, ::32], vectors["train_label_sample"].reshape(20, 8, 8)
    )
    sums = image.astype(np.float64).sum(axis=(1, 2, 3))
    np.testing.assert_allclose(sums, vectors["train_patch_sum"], rtol=1e-6, atol=0.5)
    np.testing.assert_array_equal(label.sum(axis=(1, 2)), vectors["train_label_sum"])


def test_inference_tiles_agree_with_reference(scene, vectors):
    tiles = patches.inference_tiles(scene[0])
    assert tiles.shape == (63, 256, 256, 9)
    np.testing.assert_allclose(tiles[:, ::64, ::64], vectors["tile_sample"], atol=1e-5)


@settings(max_examples=5, deadline=None)
@given(seed=st.integers(0, 2**32 - 1))
def test_stitching_tiles_gives_the_scene_back(seed):
    values = np.random.default_rng(seed).standard_normal((1200, 1500, 1), np.float32)
    np.testing.assert_array_equal(patches.stitch(patches.inference_tiles(values)), values[..., 0])


@pytest.mark.parametrize("size", [64, 128, 256, 400])
def test_patches_tile_the_central_region_without_overlap(size):
    numbers = np.arange(1200 * 1500).reshape(1200, 1500)
    cut = patches.training_patches(numbers, size)
    assert len(cut) == patches.patches_per_scene(size)
    assert len(np.unique(cut)) == cut.size
    region = numbers[patches.training_region(size)]
    np.testing.assert_array_equal(np.sort(cut.ravel()), np.sort(region.ravel()))
    np.testing.assert_array_equal(cut[0], region[:size, :size])
    np.testing.assert_array_equal(cut[1], region[:size, size : 2 * size])


def test_split_of_970_scenes_is_the_reference_split(reference_scalars):
    training, validation = patches.split_scenes(970)
    assert training == reference_scalars["split_train"]
    assert validation == reference_scalars["split_validation"]


@pytest.mark.parametrize("count", [2, 3, 5, 12, 97, 1000])
def test_split_is_that_of_scikit_learn(count):
    expected = train_test_split(range(count), train_size=0.8, random_state=42)
    assert list(patches.split_scenes(count)) == expected


def test_arrays_off_the_grid_are_refused():
    with pytest.raises(ValueError, match=r"\(1200, 1499\)"):
        patches.training_patches(np.zeros((1200, 1499)))
    with pytest.raises(ValueError, match=r"\(62, 256, 256\)"):
        patches.stitch(np.zeros((62, 256, 256)))
