"""Geometry against the reference's vectors, and as properties."""

import re

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from sklearn.model_selection import train_test_split

from cloudmask.patches import geometry
from tests.paths import REFERENCE
from tests.scene_files import read_image_and_label, write_scene


@pytest.fixture(scope="module")
def vectors():
    return np.load(REFERENCE / "scene.npz")


def test_inference_tiles_agree_with_reference(reference_scene, vectors, tmp_path):
    image, _ = read_image_and_label(write_scene(tmp_path / "S3A.hdf", **reference_scene))
    tiles = geometry.inference_tiles(image)
    assert tiles.shape == (63, 256, 256, 9)
    np.testing.assert_allclose(tiles[:, ::64, ::64], vectors["tile_sample"], atol=1e-5)


@settings(max_examples=5, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), shape=st.tuples(st.integers(1, 400), st.integers(1, 400)))
@example(seed=0, shape=(1200, 1500))
@example(seed=0, shape=(1198, 1500))
@example(seed=0, shape=(176, 177))
def test_stitching_tiles_gives_the_scene_back(seed, shape):
    values = np.random.default_rng(seed).standard_normal((*shape, 1), np.float32)
    stitched = geometry.stitch(geometry.inference_tiles(values), shape)
    np.testing.assert_array_equal(stitched, values[..., 0])


@pytest.mark.parametrize(
    ("size", "count", "region"),
    [
        (64, 414, np.s_[24:1176, 14:1486]),
        (256, 20, np.s_[88:1112, 110:1390]),
        (400, 9, np.s_[0:1200, 150:1350]),
    ],
)
def test_patches_cover_the_middle_of_a_scene(size, count, region):
    assert geometry.patches_per_scene(size) == count
    assert geometry.training_region(size) == region


def test_split_of_970_scenes_is_the_reference_split(reference_scalars):
    training, validation = geometry.split_scenes(970)
    assert training == reference_scalars["split_train"]
    assert validation == reference_scalars["split_validation"]


@pytest.mark.parametrize("count", [2, 3, 5, 12, 97, 1000])
def test_split_is_that_of_scikit_learn(count):
    expected = train_test_split(range(count), train_size=0.8, random_state=42)
    assert list(geometry.split_scenes(count)) == expected


def test_tiles_of_another_shape_are_refused():
    for shape in ((62, 256, 256), (63, 256, 256, 2), (63, 128, 512)):
        with pytest.raises(ValueError, match=rf"{re.escape(str(shape))}, expected \(63, 256, 256"):
            geometry.stitch(np.zeros(shape))
