"""Dropping the page cache, and what the run claims about it in its log."""

from __future__ import annotations

import os

import pytest

from cloudmask.config import Config
from cloudmask.timed_run import page_cache
from cloudmask.timed_run.page_cache import drop_page_cache
from tests.timed_run.forked_ranks import on_ranks


@pytest.fixture
def kernel(tmp_path, monkeypatch):
    """The file that stands for the kernel's."""
    file = tmp_path / "drop_caches"
    monkeypatch.setattr(page_cache, "DROP_CACHES", file)
    return file


def test_the_kernel_sets_this_file_of_linux():
    assert str(page_cache.DROP_CACHES) == "/proc/sys/vm/drop_caches"


def test_changes_are_written_back_before_page_cache_dentries_and_inodes_are_dropped(
    kernel, alone, monkeypatch
):
    synced = []
    monkeypatch.setattr(os, "sync", lambda: synced.append(kernel.exists()))
    assert drop_page_cache(Config(), alone) is True
    assert synced == [False]
    assert kernel.read_text() == "3\n"


def test_without_the_right_to_drop_it_the_run_does_not_claim_to_have_done_so(
    kernel, alone, monkeypatch
):
    monkeypatch.setattr(page_cache, "DROP_CACHES", kernel / "nowhere")
    assert drop_page_cache(Config(), alone) is False


def test_a_run_that_is_asked_not_to_drop_it_leaves_it_alone(kernel, alone):
    assert drop_page_cache(Config(clear_caches=False), alone) is False
    assert not kernel.exists()


def test_a_cache_that_was_dropped_by_the_script_is_not_dropped_again(kernel, alone):
    assert drop_page_cache(Config(caches_cleared=True), alone) is True
    assert not kernel.exists()


def test_it_is_dropped_only_if_it_is_on_every_node(kernel, tmp_path, monkeypatch):
    def drop_on_the_first_node_only(world):
        if world.rank == 1:
            monkeypatch.setattr(page_cache, "DROP_CACHES", tmp_path / "nowhere" / "drop_caches")
        return drop_page_cache(Config(), world)

    assert on_ranks(2, drop_on_the_first_node_only, tmp_path) == [False, False]
    assert kernel.read_text() == "3\n"


def test_one_rank_of_a_node_drops_it_for_all(kernel, tmp_path):
    def drop(world):
        with kernel.open("a") as file:  # would be overwritten by a rank that drops it
            file.write(f"rank {world.rank}\n")
        return drop_page_cache(Config(caches_cleared=world.rank == 0), world)

    assert on_ranks(2, drop, tmp_path, ranks_per_node=2) == [True, True]
    assert sorted(kernel.read_text().splitlines()) == ["rank 0", "rank 1"]
