"""The file of the log, which exists and has its disk space before a run begins."""

from __future__ import annotations

import pytest

from cloudmask.config import Config
from cloudmask.distributed.heartbeat import Heartbeat
from cloudmask.errors import InputError
from cloudmask.timed_run.log_file import reserve_log
from tests.faults.disks import small_disk


def test_a_mebibyte_of_the_disk_is_allocated_for_an_empty_file(tmp_path):
    path = reserve_log(Config(logdir=tmp_path / "logs"), Heartbeat())
    assert path == tmp_path / "logs" / "result_0.txt"
    assert path.stat().st_size == 0
    assert path.stat().st_blocks * 512 >= 2**20


def test_existing_results_are_kept_and_the_next_number_is_taken(tmp_path):
    (tmp_path / "result_4.txt").write_text("somebody's\n")
    assert reserve_log(Config(logdir=tmp_path), Heartbeat()).name == "result_5.txt"
    assert (tmp_path / "result_4.txt").read_text() == "somebody's\n"


def test_scripts_find_the_log_by_the_pointer(tmp_path):
    pointer = tmp_path / "pointer"
    path = reserve_log(Config(logdir=tmp_path / "logs", log_pointer=pointer), Heartbeat())
    assert pointer.read_text() == f"{path}\n"


def test_a_disk_without_room_for_the_log_is_refused_and_nothing_is_left_there(tmp_path):
    with small_disk(tmp_path / "disk", "512k") as disk:
        with pytest.raises(InputError, match=rf"^{disk}: no room for the log \(No space left"):
            reserve_log(Config(logdir=disk), Heartbeat())
        assert list(disk.iterdir()) == []


def test_the_folder_of_checkpoints_is_made_before_the_run(tmp_path):
    folder = tmp_path / "a" / "b"
    reserve_log(Config(logdir=tmp_path, checkpoint_folder=folder), Heartbeat())
    assert folder.is_dir()


def test_a_folder_of_checkpoints_that_cannot_be_made_is_refused(tmp_path):
    (tmp_path / "file").touch()
    folder = tmp_path / "file" / "checkpoints"
    with pytest.raises(InputError, match=f"^checkpoint_folder {folder} cannot be made"):
        reserve_log(Config(logdir=tmp_path, checkpoint_folder=folder), Heartbeat())
    assert not (tmp_path / "result_0.txt").exists()
