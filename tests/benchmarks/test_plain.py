"""The plain versions do the same work as ours, or their rates would compare nothing."""

import numpy as np
import pytest
import torch

from benchmarks import plain
from cloudmask.model.unet import UNet
from cloudmask.patches.geometry import training_patches
from tests.scene_files import read_image_and_label, write_learnable_scene


def test_plain_network_gives_the_same_logits():
    torch.manual_seed(0)
    ours, theirs = UNet(), plain.PlainUNet()
    theirs.load_state_dict(ours.state_dict())
    images = torch.randn(1, 9, 32, 32)
    assert torch.allclose(ours(images), theirs(images), atol=1e-4)


@pytest.mark.slow
def test_plain_staging_gives_the_same_patches(tmp_path):
    path = write_learnable_scene(tmp_path / "S3A.hdf", 1)
    images, labels = plain.stage_scene(path)
    image, label = read_image_and_label(path)
    np.testing.assert_array_equal(images, training_patches(image).astype(np.float16))
    np.testing.assert_array_equal(labels, training_patches(label))
