"""Weights, scenes and their masks, which the tests of `infer` share."""

import numpy as np
import pytest

from cloudmask.model.card import Card
from cloudmask.model.weights import save_weights
from tests.inference.infer_command import COLD, cold_is_cloud, infer
from tests.scene_files import product_name, write_scene
from tests.scenes.scene_formats import Pixels, Sen3Zip
from tests.scenes.sen3_product import PRODUCT


@pytest.fixture(scope="session")
def weights(tmp_path_factory):
    path = tmp_path_factory.mktemp("weights") / "weights_0.safetensors"
    save_weights(path, cold_is_cloud(), Card(dataset="synthetic", validation_accuracy=0.9))
    return path


@pytest.fixture(scope="session")
def scenes(tmp_path_factory):
    """A labelled scene, a broken one, one without label but with a border, and a product."""
    folder = tmp_path_factory.mktemp("scenes")
    bts = np.full((1200, 1500, 3), 285, np.float32)
    bts[COLD] = 240
    bayes = np.zeros((1200, 1500, 1), np.float32)
    bayes[COLD] = 2
    write_scene(folder / "day" / product_name(1), bts=bts, bayes=bayes, summary=1)
    (folder / "day" / product_name(2)).write_bytes(b"not a scene")
    bts[:], bts[:10] = 240, 0
    refs = np.full((1200, 1500, 6), 0.4, np.float32)
    refs[:10] = 0
    write_scene(folder / "day" / product_name(3), bts=bts, refs=refs, bayes=None)
    archive = Sen3Zip().write(folder, Pixels())
    (folder / f"{PRODUCT}.SEN3").rename(folder / "unpacked")
    assert archive.parent == folder
    return folder


@pytest.fixture(scope="session")
def masked(weights, scenes, tmp_path_factory):
    output = tmp_path_factory.mktemp("masks")
    return infer(weights, [scenes], output), output
