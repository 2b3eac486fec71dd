"""The store: shares that cover the list once, and the same patches wherever they live."""

import os
import signal
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from cloudmask.errors import InputError
from cloudmask.patches import staging_buffers
from cloudmask.patches import store as stores
from cloudmask.patches.geometry import training_patches
from cloudmask.patches.staging import Staging, scene_slices
from cloudmask.patches.staging_buffers import StagingBuffer, StagingRing
from cloudmask.patches.store import Share, StorePlan, choose_store, share_of, usable_patches
from tests.scene_files import product_name, read_image_and_label, write_learnable_scene

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def scenes(tmp_path_factory):
    folder = tmp_path_factory.mktemp("scenes")
    return [write_learnable_scene(folder / product_name(n), n) for n in range(3)]


@given(
    scenes=st.integers(1, 60),
    batch=st.integers(1, 8),
    world=st.integers(1, 40),
    size=st.sampled_from([128, 256]),
)
def test_shares_are_equal_contiguous_and_cover_the_used_patches(scenes, batch, world, size):
    patches = usable_patches(scenes, size, batch * world)
    shares = [share_of(rank, world, patches) for rank in range(world)]
    covered = [s.first + i for s in shares for i in range(s.count)]
    assert covered == list(range(patches))
    assert all(share.count % batch == 0 for share in shares)
    paths = [Path(str(n)) for n in range(scenes)]
    per_scene = stores.patches_per_scene(size)
    for share in shares:
        parts = list(scene_slices(paths, share, size))
        numbers = [int(p.path.name) * per_scene + i for p in parts for i in range(p.first, p.stop)]
        assert numbers == list(range(share.first, share.first + share.count))


def test_counts_of_ds1_are_the_published_ones():
    for batch in (64, 128):
        assert usable_patches(776, 256, batch) == 15488
        assert usable_patches(194, 256, batch) == 3840


@pytest.mark.parametrize("kind", ["host", "mapped", "device"])
def test_every_kind_of_store_holds_the_patches_of_its_share(scenes, tmp_path, kind):
    images = np.concatenate([training_patches(read_image_and_label(path)[0]) for path in scenes])
    labels = np.concatenate([training_patches(read_image_and_label(path)[1]) for path in scenes])
    plans = [
        StorePlan(scenes, Share(13, 34), 256, torch.float32),
        StorePlan(scenes, Share(0, 3), 256, torch.float32),
    ]
    done = []
    with Staging(plans, kind, CPU, workers=2, scratch=tmp_path) as staging:
        filled = staging.fill(done.append)
        assert len(done) == staging.slice_count == 4
    for plan, store in zip(plans, filled, strict=True):
        share = slice(plan.share.first, plan.share.first + plan.share.count)
        np.testing.assert_array_equal(store.refs.numpy(), images[share, ..., :6])
        np.testing.assert_array_equal(store.bts.numpy(), images[share, ..., 6:])
        np.testing.assert_array_equal(store.labels.numpy(), labels[share])
    assert list(tmp_path.iterdir()) == []  # a mapped file has no name to be left behind


def test_half_precision_store_keeps_temperatures_to_a_fiftieth_of_a_kelvin(scenes, tmp_path):
    plan = StorePlan(scenes, Share(0, 20), 256, torch.float16)
    with Staging([plan], "host", CPU, workers=1, scratch=tmp_path) as staging:
        store = staging.fill()[0]
    error = (
        store.bts.float().numpy() - training_patches(read_image_and_label(scenes[0])[0])[..., 6:]
    )
    assert np.abs(error).max() * 22 < 0.02


def test_batch_is_channels_last_and_in_the_order_asked_for(scenes, tmp_path):
    plan = StorePlan(scenes, Share(0, 20), 256, torch.float32)
    with Staging([plan], "host", CPU, workers=1, scratch=tmp_path) as staging:
        store = staging.fill()[0]
    images, labels = store.batch(torch.tensor([7, 2]), CPU)
    assert images.shape == (2, 9, 256, 256)
    assert labels.shape == (2, 1, 256, 256)
    assert images.is_contiguous(memory_format=torch.channels_last)
    np.testing.assert_array_equal(images[1, :6].permute(1, 2, 0), store.refs[2])
    np.testing.assert_array_equal(images[1, 6:].permute(1, 2, 0), store.bts[2])


def test_a_scene_lost_between_plan_and_staging_is_named(scenes, tmp_path):
    lost = tmp_path / product_name(8)
    plan = StorePlan([scenes[0], lost], Share(0, 40), 256, torch.float32)
    with (
        Staging([plan], "host", CPU, workers=1, scratch=tmp_path) as staging,
        pytest.raises(InputError, match=lost.name),
    ):
        staging.fill()


def kill_own_process(_: StagingBuffer) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def test_a_worker_that_is_killed_before_it_is_ready_is_told_of(scenes, tmp_path, monkeypatch):
    monkeypatch.setattr(StagingBuffer, "prefault", kill_own_process)
    plan = StorePlan(scenes, Share(0, 20), 256, torch.float32)
    with pytest.raises(InputError, match="use fewer workers"):
        Staging([plan], "host", CPU, workers=2, scratch=tmp_path)


def test_a_slot_is_used_again_only_when_its_copies_have_left_it(scenes, monkeypatch):
    done = []
    copies = iter(range(10))
    monkeypatch.setattr(
        staging_buffers, "_wait_for_copies", lambda device: partial(done.append, next(copies))
    )
    plan = StorePlan(scenes, Share(0, 40), 256, torch.float16)
    ring, store = StagingRing(plan, 2, CPU), plan.empty_store(CPU)
    first, second = ring.acquire(), ring.acquire()
    assert (first, second) == (0, 20)
    assert ring.acquire() is None
    ring.buffer.patches.labels[20:] = 1
    ring.upload(second, store.narrow(0, 20))
    ring.upload(first, store.narrow(20, 20))
    assert store.labels[:, 0, 0].tolist() == [1] * 20 + [0] * 20
    assert done == []
    assert (ring.acquire(), done) == (second, [0])
    assert (ring.acquire(), done) == (first, [0, 1])


def test_scratch_that_cannot_hold_the_file_is_refused(scenes, tmp_path):
    plan = StorePlan(scenes, Share(0, 20), 256, torch.float32)
    with pytest.raises(InputError, match="nowhere"):
        Staging([plan], "mapped", CPU, workers=1, scratch=tmp_path / "nowhere")
    huge = StorePlan(scenes * 20_000, Share(0, 1_200_000), 256, torch.float32)  # 3 TB
    with pytest.raises(InputError, match=r"bytes free, .* need \d+"):
        Staging([huge], "mapped", CPU, workers=1, scratch=tmp_path)


def test_store_is_chosen_by_what_fits(monkeypatch):
    monkeypatch.setattr(stores, "_free_host_memory", lambda: 1000)
    assert choose_store("auto", 600, CPU, ranks_on_node=1) == "host"
    assert choose_store("auto", 600, CPU, ranks_on_node=2) == "mapped"
    assert choose_store("mapped", 1, CPU, ranks_on_node=1) == "mapped"
    assert choose_store("device", 1, CPU, ranks_on_node=1) == "host"
