"""Counts and names that are settled before the clock."""

import h5py
import pytest
import torch
import torch.distributed as dist
from torch._C._distributed_c10d import HashStore

from cloudmask.config import configure
from cloudmask.distributed.process_group import World
from cloudmask.errors import InputError
from cloudmask.timed_run.plan import count_patches, make_plan
from tests.scene_files import product_name, write_scene


@pytest.fixture
def world():
    dist.init_process_group("gloo", store=HashStore(), rank=0, world_size=1)
    yield World(0, 1, 0, 1, torch.device("cpu"))
    dist.destroy_process_group()


@pytest.mark.parametrize(("batch", "ranks"), [(2, 32), (4, 32), (4, 16), (64, 1), (128, 1)])
def test_ds1_gives_the_published_counts_at_global_batches_of_64_and_128(batch, ranks):
    counts = count_patches(970, configure([f"--batch-size={batch}"]), ranks)
    assert (counts.train_samples, counts.eval_samples) == (15488, 3840)
    assert sum(counts.train_share(rank).count for rank in range(ranks)) == 15488


def test_too_few_patches_for_a_global_batch_are_refused_with_the_numbers():
    with pytest.raises(InputError, match=r"20 validation patches .* batch of 32 \(4 x 8 ranks\)"):
        count_patches(5, configure(["--batch-size=4"]), 8)


def folder_of_scenes(tmp_path, mark):
    for number in range(3):
        for subset in ("training", "inference"):
            path = write_scene(tmp_path / subset / product_name(number))
            if mark:
                with h5py.File(path, "a") as file:
                    file.attrs["generator"] = mark
    return tmp_path


@pytest.mark.parametrize("asked", ["custom", "synthetic"])
def test_synthetic_scenes_are_called_so_in_the_log(tmp_path, world, asked):
    data = folder_of_scenes(tmp_path, "cloudmask synthetic")
    plan = make_plan(configure([f"--datadir={data}", f"--dataset={asked}"]), world)
    assert plan.dataset == "synthetic"


def test_synthetic_scenes_are_never_presented_as_ds1(tmp_path, world):
    data = folder_of_scenes(tmp_path, "cloudmask synthetic")
    with pytest.raises(InputError, match=r"dataset is ds1 but S3A.* is a synthetic scene"):
        make_plan(configure([f"--datadir={data}", "--dataset=ds1"]), world)


def test_real_scenes_carry_the_name_they_are_given(tmp_path, world):
    data = folder_of_scenes(tmp_path, None)
    plan = make_plan(configure([f"--datadir={data}", "--dataset=ds1"]), world)
    assert plan.dataset == "ds1"
    assert len(plan.training) == 2
    assert len(plan.validation) == 1
    assert len(plan.inference) == 3
