"""Staging: every kind of store passes the contract, and the ring of buffers loses no copy."""

import errno
import multiprocessing
import os
import shutil
import signal
import time
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import psutil
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from cloudmask.errors import InputError
from cloudmask.patches import staging as staging_module
from cloudmask.patches import staging_buffers
from cloudmask.patches.geometry import patches_per_scene
from cloudmask.patches.staging import Staging, scene_slices
from cloudmask.patches.staging_buffers import StagingBuffer, StagingRing
from cloudmask.patches.store import Share, StorePlan, share_of, usable_patches
from tests.faults.disks import small_disk
from tests.patches.store_contract import CPU, PatchStoreContract, kill_own_process


class TestHostStore(PatchStoreContract):
    kind = "host"


class TestMappedStore(PatchStoreContract):
    kind = "mapped"


class TestDeviceStore(PatchStoreContract):
    """The CPU is the device: patches go through the ring of buffers."""

    kind = "device"


def plan_of(paths, patches, dtype=torch.float32):
    return StorePlan(paths, Share(0, patches), 256, dtype)


@given(
    scene_count=st.integers(1, 60),
    batch=st.integers(1, 8),
    world=st.integers(1, 40),
    size=st.sampled_from([128, 256]),
)
def test_slices_of_all_ranks_cover_the_used_patches_once_and_in_order(
    scene_count, batch, world, size
):
    patches = usable_patches(scene_count, size, batch * world)
    paths = [Path(str(n)) for n in range(scene_count)]
    per_scene = patches_per_scene(size)
    for share in (share_of(rank, world, patches) for rank in range(world)):
        numbers, position = [], 0
        for scene in scene_slices(paths, share, size):
            assert scene.position == position
            position += len(scene)
            first = int(scene.path.name) * per_scene
            numbers += range(first + scene.first, first + scene.stop)
        assert numbers == list(range(share.first, share.first + share.count))


def test_a_worker_that_is_killed_before_it_is_ready_is_reported(tmp_path, monkeypatch):
    monkeypatch.setattr(StagingBuffer, "prefault", kill_own_process)
    with pytest.raises(InputError, match="use fewer workers"):
        Staging([plan_of([Path("never read")], 20)], "host", CPU, workers=2, scratch=tmp_path)


def stage_with_one_worker_killed_and_one_busy(folder):
    """Exit with code 0 if staging reports the loss of a worker, and ends the other."""

    def read_slice(scene, patch_size, patches):
        if scene.position == 0:
            kill_own_process()
        time.sleep(300)

    staging_module.read_slice = read_slice
    plan = plan_of([Path("never read"), Path("nor this")], 40)
    with (
        Staging([plan], "host", CPU, workers=2, scratch=folder) as staging,
        pytest.raises(InputError, match="use fewer workers"),
    ):
        staging.fill()


def stage_with_an_idle_worker_killed(number, folder):
    """Exit with code 0 if staging reports the loss of a worker that had nothing to do."""
    plan = plan_of([Path("never read")], 20)
    with Staging([plan], "host", CPU, workers=2, scratch=folder) as staging:
        workers = sorted(multiprocessing.active_children(), key=lambda worker: worker.pid)
        os.kill(workers[number].pid, signal.SIGKILL)
        for worker in workers:
            worker.join()
        with pytest.raises(InputError, match="use fewer workers"):
            staging.fill()


@pytest.mark.parametrize(
    "stage",
    [
        stage_with_one_worker_killed_and_one_busy,
        partial(stage_with_an_idle_worker_killed, 0),
        partial(stage_with_an_idle_worker_killed, 1),
    ],
    ids=["other busy", "first idle", "second idle"],
)
def test_the_loss_of_a_worker_ends_the_others(tmp_path, stage):
    # In a process of its own, which would wait for the other worker at its end.
    process = multiprocessing.get_context("fork").Process(target=stage, args=(tmp_path,))
    process.start()
    process.join(timeout=120)
    process.kill()
    assert process.exitcode == 0


def stage_and_wait(folder, pipe):
    """What a rank does until it is killed, which is before its workers have read anything."""
    with Staging([plan_of([Path("never read")], 2)], "host", CPU, workers=2, scratch=folder):
        pipe.send([child.pid for child in multiprocessing.active_children()])
        time.sleep(600)


def test_workers_end_with_a_rank_that_is_killed(tmp_path):
    mine, its = multiprocessing.Pipe()
    context = multiprocessing.get_context("fork")
    rank = context.Process(target=stage_and_wait, args=(tmp_path, its))
    rank.start()
    workers = [psutil.Process(pid) for pid in mine.recv()]
    assert len(workers) == 2
    rank.kill()
    rank.join()
    _, alive = psutil.wait_procs(workers, timeout=60)
    for worker in alive:
        worker.kill()
    assert not alive


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGUSR1])
def test_workers_ignore_stop_signals_which_the_rank_handles(tmp_path, monkeypatch, number):
    def signal_then_fill(scene, patch_size, patches):
        os.kill(os.getpid(), number)
        patches.labels.fill_(1)

    monkeypatch.setattr(staging_module, "read_slice", signal_then_fill)
    plan = plan_of([Path("never read")], 2)
    before = signal.signal(number, signal.SIG_DFL)
    try:
        with Staging([plan], "host", CPU, workers=1, scratch=tmp_path) as staging:
            (store,) = staging.fill()
    finally:
        signal.signal(number, before)
    assert store.labels.all()


def test_a_slot_is_acquired_again_only_after_its_copies(monkeypatch):
    waited = []
    copies = iter(range(10))

    def event_after_copies(device):
        return SimpleNamespace(synchronize=partial(waited.append, next(copies)))

    monkeypatch.setattr(staging_buffers, "_event_after_copies", event_after_copies)
    plan = plan_of([], 40, torch.float16)
    ring, store = StagingRing(plan, 2, CPU), plan.empty_store(CPU)
    first, second = ring.acquire(), ring.acquire()
    assert (first, second) == (0, 20)
    assert ring.acquire() is None
    ring.buffer.patches.labels[20:] = 1
    ring.upload(second, store.narrow(0, 20))
    ring.upload(first, store.narrow(20, 20))
    assert store.labels[:, 0, 0].tolist() == [1] * 20 + [0] * 20
    assert waited == []
    assert (ring.acquire(), waited) == (second, [0])
    assert (ring.acquire(), waited) == (first, [0, 1])


@pytest.mark.parametrize(("missing", "refused"), [(0, False), (1, True)])
def test_a_mapped_store_needs_all_its_bytes_free_in_scratch(
    tmp_path, monkeypatch, missing, refused
):
    plan = plan_of([Path("scene")], 20)
    disk = SimpleNamespace(free=plan.nbytes - missing)
    monkeypatch.setattr(staging_buffers.shutil, "disk_usage", lambda folder: disk)
    if not refused:
        assert len(StagingBuffer(plan, 20, tmp_path).patches) == 20
        return
    message = f"has {plan.nbytes - 1} bytes free, the patches of each rank need {plan.nbytes}"
    with pytest.raises(InputError, match=message):
        StagingBuffer(plan, 20, tmp_path)


def test_a_mapped_store_reserves_its_bytes_so_that_the_next_rank_is_refused_in_time(tmp_path):
    plan = plan_of([Path("scene")], 1)
    with small_disk(tmp_path / "disk", f"{plan.nbytes * 3 // 2 // 1024}k") as disk:
        first = StagingBuffer(plan, 1, disk)
        free = shutil.disk_usage(disk).free
        assert free < plan.nbytes
        with pytest.raises(InputError) as caught:
            StagingBuffer(plan, 1, disk)
        first.bytes.fill_(1)
    assert str(caught.value) == (
        f"scratch {disk} (tmpfs: memory, no disk) has {free} bytes free, the patches of each rank "
        f"need {plan.nbytes}: give another folder with --scratch"
    )


def test_a_mapped_store_that_others_left_no_room_for_is_refused(tmp_path, monkeypatch):
    plan = plan_of([Path("scene")], 1)
    with small_disk(tmp_path / "disk", f"{plan.nbytes // 2 // 1024}k") as disk:
        free = iter([plan.nbytes, 7])
        monkeypatch.setattr(
            staging_buffers.shutil, "disk_usage", lambda folder: SimpleNamespace(free=next(free))
        )
        with pytest.raises(InputError, match=r"has 7 bytes free, the patches of each rank need"):
            StagingBuffer(plan, 1, disk)


def test_a_mapped_store_in_memory_needs_that_much_memory(tmp_path, monkeypatch):
    plan = plan_of([Path("scene")], 1)
    monkeypatch.setattr(staging_buffers, "available_memory", lambda: plan.nbytes - 1)
    with (
        small_disk(tmp_path / "disk", "64m") as disk,
        pytest.raises(InputError, match=rf"\(tmpfs: .*\) has {plan.nbytes - 1} bytes free"),
    ):
        StagingBuffer(plan, 1, disk)


@pytest.mark.parametrize("number", [errno.EOPNOTSUPP, errno.EINVAL])
def test_scratch_that_reserves_nothing_is_used_all_the_same(tmp_path, monkeypatch, number):
    def refuse(*arguments):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "posix_fallocate", refuse)
    assert len(StagingBuffer(plan_of([Path("scene")], 1), 1, tmp_path).patches) == 1


def test_scratch_that_cannot_hold_the_file_is_refused(tmp_path):
    nowhere = tmp_path / "nowhere"
    with pytest.raises(InputError, match=rf"scratch {nowhere} cannot be written \(No such file"):
        Staging([plan_of([Path("scene")], 20)], "mapped", CPU, workers=1, scratch=nowhere)
    huge = plan_of([Path("scene")] * 60_000, 1_200_000)  # 3 TB
    with pytest.raises(
        InputError, match=rf"{tmp_path}.* has \d+ bytes free, .* need {huge.nbytes}:"
    ):
        Staging([huge], "mapped", CPU, workers=1, scratch=tmp_path)
