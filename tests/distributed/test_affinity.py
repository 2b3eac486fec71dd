"""Ranks keep to the cores next to their GPUs."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from cloudmask.distributed.affinity import bind_to_gpu, cores_of_rank

GPUS = [f"0000:{bus:02x}:00.0" for bus in range(16)]
ALL_CORES = set(range(96))


def write(path: Path, text: str) -> None:
    """A file of sysfs, with the line end that the kernel gives it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"{text}\n")


@pytest.fixture
def dgx2(tmp_path: Path) -> Path:
    """The sysfs of a DGX-2: two sockets of 24 cores with two threads, 8 GPUs next to each."""
    write(tmp_path / "devices/system/node/node0/cpulist", "0-23,48-71")
    write(tmp_path / "devices/system/node/node1/cpulist", "24-47,72-95")
    for core in range(96):
        siblings = f"{core % 48},{core % 48 + 48}"
        folder = tmp_path / f"devices/system/cpu/cpu{core}/topology"
        write(folder / "thread_siblings_list", siblings)
    for number, gpu in enumerate(GPUS):
        write(tmp_path / f"bus/pci/devices/{gpu}/numa_node", str(number // 8))
    return tmp_path


def test_sixteen_ranks_share_all_cores_without_overlap(dgx2):
    shares = [cores_of_rank(GPUS, rank, ALL_CORES, dgx2) for rank in range(16)]
    assert set().union(*shares) == ALL_CORES
    assert [len(share) for share in shares] == [6] * 16


def test_a_rank_has_both_threads_of_its_cores_on_the_socket_of_its_gpu(dgx2):
    assert cores_of_rank(GPUS, 0, ALL_CORES, dgx2) == {0, 1, 2, 48, 49, 50}
    assert cores_of_rank(GPUS, 15, ALL_CORES, dgx2) == {45, 46, 47, 93, 94, 95}


def test_only_allowed_cores_are_taken(dgx2):
    allowed = set(range(8)) | {30, 31}
    assert cores_of_rank(GPUS, 0, allowed, dgx2) == {0}
    assert cores_of_rank(GPUS[:2], 1, allowed, dgx2) == {4, 5, 6, 7}
    assert cores_of_rank(GPUS[8:9], 0, {5}, dgx2) == set()


def test_a_single_gpu_has_the_whole_socket(dgx2):
    assert len(cores_of_rank(GPUS[:1], 0, ALL_CORES, dgx2)) == 48


def test_one_numa_node_changes_nothing(dgx2):
    (dgx2 / "devices/system/node/node1").rename(dgx2 / "devices/system/node/gone")
    assert cores_of_rank(GPUS, 0, ALL_CORES, dgx2) == set()


def test_a_gpu_of_unknown_distance_changes_nothing(dgx2):
    write(dgx2 / f"bus/pci/devices/{GPUS[3]}/numa_node", "-1")
    assert cores_of_rank(GPUS, 3, ALL_CORES, dgx2) == set()
    assert cores_of_rank(["", ""], 0, ALL_CORES, dgx2) == set()


def test_a_process_without_such_a_gpu_keeps_its_cores():
    before = os.sched_getaffinity(0)
    assert not bind_to_gpu(["ffff:ff:ff.0"], 0)
    assert os.sched_getaffinity(0) == before
