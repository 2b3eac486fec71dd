"""Durable files that are complete or absent, and disk space that is allocated in advance."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from cloudmask.files import preallocate, replacing, write_durably
from tests.faults.disks import fill, small_disk


def test_a_file_replaces_the_one_before_it_at_once(tmp_path):
    path = tmp_path / "file"
    write_durably(path, b"first")
    write_durably(path, b"second")
    assert path.read_bytes() == b"second"
    assert list(tmp_path.iterdir()) == [path]


def test_content_is_synced_before_the_file_is_renamed_and_the_folder_after(tmp_path, monkeypatch):
    path = tmp_path / "file"
    fsync, replace = os.fsync, os.replace
    calls = []

    def recorded_fsync(descriptor):
        synced = Path(f"/proc/self/fd/{descriptor}").readlink()
        calls.append(("fsync", synced, synced.read_bytes() if synced.is_file() else None))
        fsync(descriptor)

    def recorded_replace(source, target):
        calls.append(("replace", source, target))
        replace(source, target)

    monkeypatch.setattr(os, "fsync", recorded_fsync)
    monkeypatch.setattr(os, "replace", recorded_replace)
    write_durably(path, b"content")
    partial = tmp_path / f"file.{os.getpid()}.part"
    assert calls == [
        ("fsync", partial, b"content"),
        ("replace", partial, path),
        ("fsync", tmp_path, None),
    ]


@pytest.mark.parametrize("call", ["fsync", "replace"])
def test_a_write_that_fails_leaves_the_file_before_it_and_nothing_else(tmp_path, monkeypatch, call):
    def fail(*arguments):
        raise OSError(5, "Input/output error")

    path = tmp_path / "file"
    write_durably(path, b"first")
    monkeypatch.setattr(os, call, fail)
    with pytest.raises(OSError, match="Input/output error"):
        write_durably(path, b"second")
    assert path.read_bytes() == b"first"
    assert list(tmp_path.iterdir()) == [path]


def test_what_does_not_fit_leaves_the_file_before_it(tmp_path):
    with small_disk(tmp_path / "disk", "64k") as disk:
        path = disk / "file"
        write_durably(path, b"first")
        with pytest.raises(OSError, match="No space left"):
            write_durably(path, bytes(2**20))
        assert path.read_bytes() == b"first"
        assert list(disk.iterdir()) == [path]


def test_room_that_is_set_aside_is_there_on_a_full_disk_and_not_in_the_size(tmp_path):
    with small_disk(tmp_path / "disk", "256k") as disk:
        path = disk / "log"
        path.write_bytes(b"begun\n")
        preallocate(path, 2**16)
        assert path.stat().st_size == 6
        fill(disk)
        with path.open("ab") as file:
            file.write(bytes(2**16 - 6))
        with path.open("ab", buffering=0) as file, pytest.raises(OSError, match="No space left"):
            file.write(bytes(2**13))


def test_room_that_is_not_there_is_an_error(tmp_path):
    with small_disk(tmp_path / "disk", "64k") as disk:
        path = disk / "log"
        path.touch()
        with pytest.raises(OSError, match="No space left"):
            preallocate(path, 2**20)


def test_a_file_appears_when_its_block_ends_and_not_at_all_if_the_block_fails(tmp_path):
    path = tmp_path / "file"
    with replacing(path) as partial:
        partial.write_text("first")
        assert not path.exists()
    assert path.read_text() == "first"
    with pytest.raises(KeyboardInterrupt):
        write_half(path)
    assert path.read_text() == "first"
    assert list(tmp_path.iterdir()) == [path]


def write_half(path):
    """Fail in the middle of a file."""
    with replacing(path) as partial:
        partial.write_text("half")
        raise KeyboardInterrupt
