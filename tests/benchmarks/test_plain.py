"""The plain versions do the same work as ours, or their rates would compare nothing."""

import numpy as np
import pytest
import torch

from benchmarks import plain
from cloudmask.model.unet import UNet
from cloudmask.patches.staging import Staging
from cloudmask.patches.store import Share, StorePlan
from tests.scene_files import write_learnable_scene


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
    plan = StorePlan([path], Share(0, 20), 256, torch.float16)
    with Staging([plan], "host", torch.device("cpu"), workers=1, scratch=tmp_path) as staging:
        (store,) = staging.fill()
    np.testing.assert_array_equal(images, torch.cat([store.refs, store.bts], dim=3))
    np.testing.assert_array_equal(labels, store.labels)
