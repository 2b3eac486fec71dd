"""What every kind of patch store promises: subclass the contract and set `kind`."""

from __future__ import annotations

import multiprocessing
import os
import signal
from multiprocessing.connection import wait
from pathlib import Path

import numpy as np
import pytest
import torch

from cloudmask.errors import InputError
from cloudmask.patches import staging as staging_module
from cloudmask.patches.staging import Staging
from cloudmask.patches.store import PatchStore, Share, StorePlan
from tests.patches.plain_patches import plain_patches
from tests.paths import REFERENCE
from tests.scene_files import product_name, write_scene

CPU = torch.device("cpu")


def kill_own_process(*_: object) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def assert_workers_end() -> None:
    # The pool's thread joins the workers: to join them here too would race with it.
    for worker in multiprocessing.active_children():
        assert wait([worker.sentinel], timeout=60), f"{worker} does not end"


class PatchStoreContract:
    """Tests of the stores that `Staging` fills.

    Attributes:
        kind: the kind of store.
    """

    kind: str

    @classmethod
    def staging(cls, scratch: Path, *plans: StorePlan) -> Staging:
        return Staging(plans, cls.kind, CPU, workers=2, scratch=scratch)

    @classmethod
    def stage(cls, scratch: Path, plan: StorePlan) -> PatchStore:
        with cls.staging(scratch, plan) as staging:
            (store,) = staging.fill()
        return store

    def test_it_holds_the_patches_and_labels_of_its_share(self, store, expected):
        images, labels = expected
        assert len(store) == 20
        np.testing.assert_array_equal(store.refs.numpy(), images[13:33, ..., :6])
        np.testing.assert_array_equal(store.bts.numpy(), images[13:33, ..., 6:])
        np.testing.assert_array_equal(store.labels.numpy(), labels[13:33])
        assert store.labels.dtype == torch.uint8

    def test_batches_are_channels_last_and_in_the_order_of_the_indices(self, store, expected):
        order = [7, 19, 2, 7]
        images, labels = store.batch(torch.tensor(order, device=store.device), CPU)
        assert images.shape == (4, 9, 256, 256)
        assert labels.shape == (4, 1, 256, 256)
        assert images.is_contiguous(memory_format=torch.channels_last)
        for image, label, index in zip(images, labels, order, strict=True):
            np.testing.assert_array_equal(image.permute(1, 2, 0), expected[0][13 + index])
            np.testing.assert_array_equal(label[0], expected[1][13 + index])

    @pytest.mark.parametrize("index", [20, -1])
    def test_patches_that_it_does_not_hold_are_refused(self, store, index):
        with pytest.raises(IndexError):
            store.batch(torch.tensor([0, index]), CPU)

    def test_several_stores_are_filled_and_each_slice_of_a_scene_is_reported(
        self, scenes, expected, tmp_path
    ):
        shares = [Share(18, 4), Share(0, 3)]
        plans = [StorePlan(scenes, share, 256, torch.float32) for share in shares]
        reports: list[int] = []
        with self.staging(tmp_path, *plans) as staging:
            stores = staging.fill(reports.append)
            assert staging.slice_count == 3
        assert reports == [1, 1, 1]
        for store, share in zip(stores, shares, strict=True):
            held = slice(share.first, share.first + share.count)
            np.testing.assert_array_equal(store.bts.numpy(), expected[0][held, ..., 6:])
        assert_workers_end()
        assert list(tmp_path.iterdir()) == []  # a mapped file has no name to be left behind

    def test_patches_of_another_size_tile_the_middle_of_the_scene(self, scenes, tmp_path):
        store = self.stage(tmp_path, StorePlan(scenes, Share(4, 10), 400, torch.float32))
        images, labels = plain_patches(scenes, 400)
        np.testing.assert_array_equal(store.refs.numpy(), images[4:14, ..., :6])
        np.testing.assert_array_equal(store.labels.numpy(), labels[4:14])

    def test_half_precision_keeps_temperatures_to_a_fiftieth_of_a_kelvin(
        self, scenes, expected, tmp_path
    ):
        store = self.stage(tmp_path, StorePlan(scenes, Share(0, 20), 256, torch.float16))
        assert store.refs.dtype == store.bts.dtype == torch.float16
        error = store.bts.float().numpy() - expected[0][:20, ..., 6:]
        assert 0 < np.abs(error).max() * 22 < 0.02

    def test_patches_agree_with_the_reference(self, reference_scene, tmp_path):
        path = write_scene(tmp_path / product_name(1), **reference_scene)
        store = self.stage(tmp_path, StorePlan([path], Share(0, 20), 256, torch.float32))
        vectors = np.load(REFERENCE / "scene.npz")
        image, label = torch.cat([store.refs, store.bts], dim=3).numpy(), store.labels.numpy()
        assert image.shape == (20, 256, 256, 9)
        np.testing.assert_allclose(image[:, ::32, ::32], vectors["train_patch_sample"], atol=1e-5)
        np.testing.assert_array_equal(
            label[:, ::32, ::32], vectors["train_label_sample"].reshape(20, 8, 8)
        )
        sums = image.astype(np.float64).sum(axis=(1, 2, 3))
        np.testing.assert_allclose(sums, vectors["train_patch_sum"], rtol=1e-6, atol=0.5)
        np.testing.assert_array_equal(label.sum(axis=(1, 2)), vectors["train_label_sum"])

    def test_scenes_are_first_opened_when_it_is_filled(self, tmp_path):
        later = tmp_path / product_name(4)
        with self.staging(tmp_path, StorePlan([later], Share(0, 2), 256, torch.float32)) as staging:
            write_scene(later, bayes=1)
            (store,) = staging.fill()
        assert store.labels.all()

    def test_a_scene_that_is_gone_is_named(self, scenes, tmp_path):
        lost = tmp_path / product_name(8)
        plan = StorePlan([scenes[0], lost], Share(19, 3), 256, torch.float32)
        with (
            self.staging(tmp_path, plan) as staging,
            pytest.raises(InputError, match=lost.name),
        ):
            staging.fill()
        assert_workers_end()

    def test_a_worker_that_is_killed_is_reported(self, scenes, tmp_path, monkeypatch):
        monkeypatch.setattr(staging_module, "read_slice", kill_own_process)
        plan = StorePlan(scenes, Share(0, 3), 256, torch.float32)
        with (
            self.staging(tmp_path, plan) as staging,
            pytest.raises(InputError, match="use fewer workers"),
        ):
            staging.fill()
