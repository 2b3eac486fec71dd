"""Stores: equal shares of the patch list, sizes in bytes, and the kind that fits."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from cloudmask.patches import store as stores
from cloudmask.patches.store import (
    Share,
    StorePlan,
    choose_store,
    even_batch_size,
    share_of,
    usable_patches,
)

CPU, GPU = torch.device("cpu"), torch.device("cuda")


@given(scenes=st.integers(1, 60), batch=st.integers(1, 8), world=st.integers(1, 40))
def test_shares_are_whole_batches_equal_contiguous_and_cover_the_used_patches(scenes, batch, world):
    patches = usable_patches(scenes, 256, batch * world)
    assert 0 <= 20 * scenes - patches < batch * world
    shares = [share_of(rank, world, patches) for rank in range(world)]
    assert [s.first + i for s in shares for i in range(s.count)] == list(range(patches))
    assert {share.count for share in shares} == {patches // world}
    assert patches // world % batch == 0


def test_counts_of_ds1_are_the_published_ones():
    for batch in (64, 128):
        assert usable_patches(776, 256, batch) == 15488
        assert usable_patches(194, 256, batch) == 3840


@given(batch=st.integers(1, 70), batches=st.integers(1, 200), limit=st.integers(1, 200))
def test_evaluation_batches_are_even_within_the_limit_and_no_smaller_than_training_batches(
    batch, batches, limit
):
    share = batch * batches
    size = even_batch_size(share, limit)
    assert share % size == 0
    assert size <= limit
    assert batch > limit or size >= batch
    assert not [larger for larger in range(size + 1, limit + 1) if share % larger == 0]


@pytest.mark.parametrize(
    ("ranks", "limit", "size"), [(32, 32, 30), (16, 32, 30), (8, 32, 32), (1, 128, 128)]
)
def test_evaluation_batches_of_ds1(ranks, limit, size):
    assert even_batch_size(3840 // ranks, limit) == size


@pytest.mark.parametrize(("dtype", "size"), [(torch.float16, 2), (torch.float32, 4)])
def test_a_plan_counts_the_bytes_of_its_share(dtype, size):
    plan = StorePlan([], Share(5, 3), 32, dtype)
    assert plan.nbytes == 3 * 32 * 32 * (9 * size + 1)
    assert sum(tensor.nbytes for tensor in plan.empty_store(CPU).tensors) == plan.nbytes


def test_an_explicit_kind_is_taken_and_memory_of_the_cpu_is_called_host():
    assert choose_store("mapped", 1, CPU, ranks_on_node=1) == "mapped"
    assert choose_store("host", 10**18, GPU, ranks_on_node=1) == "host"
    assert choose_store("device", 10**18, GPU, ranks_on_node=1) == "device"
    assert choose_store("device", 1, CPU, ranks_on_node=1) == "host"


@pytest.mark.parametrize(
    ("needed", "ranks", "kind"),
    [(690, 1, "host"), (710, 1, "mapped"), (345, 2, "host"), (355, 2, "mapped")],
)
def test_host_memory_takes_seven_tenths_of_what_is_free_over_all_ranks(
    monkeypatch, needed, ranks, kind
):
    monkeypatch.setattr(stores, "available_memory", lambda: 1000)
    assert choose_store("auto", needed, CPU, ranks) == kind


@pytest.mark.parametrize(
    ("needed", "ranks", "kind"), [(490, 1, "device"), (490, 8, "device"), (510, 1, "host")]
)
def test_device_memory_takes_half_of_what_is_free_for_each_rank(monkeypatch, needed, ranks, kind):
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (1000, 9999))
    monkeypatch.setattr(stores, "available_memory", lambda: 1000)
    assert choose_store("auto", needed, GPU, ranks) == kind
