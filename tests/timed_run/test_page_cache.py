"""Dropping the page cache, and what the run claims about it in its log."""

from __future__ import annotations

import os
from pathlib import Path

import h5py
import pytest

from cloudmask.config import Config
from cloudmask.timed_run import page_cache
from cloudmask.timed_run.page_cache import drop_page_cache
from tests.runs import values_of
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
    assert drop_page_cache(Config(), alone, []) is True
    assert synced == [False]
    assert kernel.read_text() == "3\n"


def test_without_the_right_to_drop_it_the_run_does_not_claim_to_have_done_so(
    kernel, alone, monkeypatch
):
    monkeypatch.setattr(page_cache, "DROP_CACHES", kernel / "nowhere")
    assert drop_page_cache(Config(), alone, []) is False


def test_a_run_that_is_asked_not_to_drop_it_leaves_it_alone(kernel, alone):
    assert drop_page_cache(Config(clear_caches=False), alone, []) is False
    assert not kernel.exists()


@pytest.fixture
def evicted(monkeypatch):
    """The names of the files whose pages were dropped."""
    names = []

    def advise(descriptor, start, length, advice):
        assert (start, length, advice) == (0, 0, os.POSIX_FADV_DONTNEED)
        names.append(Path(f"/proc/self/fd/{descriptor}").readlink().name)

    monkeypatch.setattr(os, "posix_fadvise", advise)
    return names


def test_of_a_cache_that_a_script_dropped_what_was_read_of_the_scenes_is_dropped_again(
    kernel, alone, evicted, tmp_path
):
    scene, product = tmp_path / "a.hdf", tmp_path / "b.SEN3"
    scene.touch()
    product.mkdir()
    (product / "S1_radiance_an.nc").touch()
    assert drop_page_cache(Config(caches_cleared=True), alone, [scene, product]) is True
    assert evicted == ["a.hdf", "S1_radiance_an.nc"]
    assert not kernel.exists()
    scene.unlink()
    assert drop_page_cache(Config(caches_cleared=True), alone, [scene]) is False


@pytest.mark.parametrize("by_script", [True, False])
def test_no_scene_is_opened_between_the_drop_and_the_clock(
    train_here, two_scenes, tmp_path, monkeypatch, kernel, evicted, by_script
):
    log, opened_after = tmp_path / "result_0.txt", []
    open_file = h5py.File.__init__

    def open_and_tell(file, name, *arguments, **options):
        text = log.read_text() if log.exists() else ""
        if '"cache_clear"' in text and '"run_start"' not in text:
            opened_after.append(name)
        open_file(file, name, *arguments, **options)

    monkeypatch.setattr(h5py.File, "__init__", open_and_tell)
    cleared = "--caches-cleared" if by_script else "--clear-caches"
    flags = ("--datadir", two_scenes, "--logdir", tmp_path, "--epochs=1", cleared)
    assert train_here(*flags, "--target-accuracy=0.01") == 0
    assert opened_after == []
    assert values_of(log, "cache_clear") == [True]
    scenes = sorted(path.name for path in two_scenes.rglob("*.hdf"))
    assert sorted(evicted) == (scenes if by_script else [])
    assert kernel.exists() != by_script


def test_it_is_dropped_only_if_it_is_on_every_node(kernel, tmp_path, monkeypatch):
    def drop_on_the_first_node_only(world):
        if world.rank == 1:
            monkeypatch.setattr(page_cache, "DROP_CACHES", tmp_path / "nowhere" / "drop_caches")
        return drop_page_cache(Config(), world, [])

    assert on_ranks(2, drop_on_the_first_node_only, tmp_path) == [False, False]
    assert kernel.read_text() == "3\n"


def test_one_rank_of_a_node_drops_it_for_all(kernel, tmp_path, monkeypatch):
    def drop(world):
        if world.rank == 1:  # if it tried, it could not
            monkeypatch.setattr(page_cache, "DROP_CACHES", tmp_path / "nowhere" / "drop_caches")
        return drop_page_cache(Config(), world, [])

    assert on_ranks(2, drop, tmp_path, ranks_per_node=2) == [True, True]
    assert kernel.read_text() == "3\n"
