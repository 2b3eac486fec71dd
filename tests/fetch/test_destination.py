"""Files are written below the destination and nowhere else."""

import os
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest

from cloudmask.errors import InputError
from cloudmask.fetch.destination import Destination, UnsafePathError
from tests.fetch.recorded_files import record_file_operations

WRITE_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL


@pytest.fixture
def destination(tmp_path: Path) -> Destination:
    return Destination(tmp_path / "dest", create=True)


@pytest.fixture
def outside(tmp_path: Path) -> Path:
    folder = tmp_path / "outside"
    folder.mkdir()
    (folder / "file").write_bytes(b"mine")
    return folder


def test_a_new_file_gets_its_folders(destination: Destination) -> None:
    descriptor = destination.open("a/b/file", WRITE_NEW)
    os.write(descriptor, b"content")
    os.close(descriptor)
    assert destination.read("a/b/file") == b"content"
    status = destination.status("a/b/file")
    assert status is not None
    assert status.st_size == 7
    assert destination.status("a/b/other") is None
    assert destination.status("c/other") is None
    with pytest.raises(FileNotFoundError):
        destination.read("c/other")


@pytest.mark.parametrize(
    "operation",
    [
        lambda destination: destination.open("link/new", WRITE_NEW),
        lambda destination: destination.status("link/file"),
        lambda destination: destination.rename("mine", "link/file"),
        lambda destination: destination.rename("link/file", "stolen"),
        lambda destination: destination.remove("link/file"),
    ],
    ids=["open", "status", "rename to", "rename from", "remove"],
)
def test_a_link_to_a_folder_is_not_entered(
    destination: Destination, outside: Path, operation: Callable[[Destination], object]
) -> None:
    (destination.path / "link").symlink_to(outside)
    destination.write("mine", b"ours")
    with pytest.raises(UnsafePathError, match="'link' is a link or a file, not a folder"):
        operation(destination)
    assert [path.name for path in outside.iterdir()] == ["file"]
    assert (outside / "file").read_bytes() == b"mine"


def test_a_link_to_a_file_is_neither_read_nor_written_but_removed_itself(
    destination: Destination, outside: Path
) -> None:
    (destination.path / "link").symlink_to(outside / "file")
    with pytest.raises(UnsafePathError, match="'link' is not a plain file"):
        destination.read("link")
    with pytest.raises(UnsafePathError, match="'link' is not a plain file"):
        destination.open("link", os.O_WRONLY)
    destination.remove("link")
    destination.remove("link")
    assert not os.listdir(destination.path)
    assert (outside / "file").read_bytes() == b"mine"


def test_a_hard_link_is_read_but_not_written(destination: Destination, outside: Path) -> None:
    os.link(outside / "file", destination.path / "link")
    assert destination.read("link") == b"mine"
    for flags in (os.O_WRONLY, os.O_RDWR):
        with pytest.raises(UnsafePathError, match="not a plain file of its own"):
            destination.open("link", flags)


def test_a_pipe_and_a_folder_are_not_opened(destination: Destination) -> None:
    os.mkfifo(destination.path / "pipe")
    (destination.path / "folder").mkdir()
    for flags in (os.O_RDONLY, os.O_WRONLY):
        with pytest.raises(UnsafePathError):
            destination.open("pipe", flags)
    with pytest.raises(UnsafePathError):
        destination.open("folder", os.O_RDONLY)


def test_writing_replaces_a_file_whole_after_its_bytes_are_on_disk(
    destination: Destination, monkeypatch: pytest.MonkeyPatch
) -> None:
    destination.write("file", b"old")
    with record_file_operations(monkeypatch) as operations:
        destination.write("file", b"new")
    assert operations == ["fsync file.part", "rename file.part to file"]
    assert destination.read("file") == b"new"
    assert os.listdir(destination.path) == ["file"]


def test_a_renamed_file_replaces_its_target_and_gets_its_folders(destination: Destination) -> None:
    destination.write("one", b"1")
    destination.write("two", b"2")
    destination.rename("one", "two")
    destination.rename("two", "a/b/three")
    assert destination.read("a/b/three") == b"1"
    assert os.listdir(destination.path) == ["a"]


def test_only_one_fetch_holds_the_lock(destination: Destination) -> None:
    destination.lock()
    other = Destination(destination.path, create=False)
    with pytest.raises(InputError, match="another fetch is writing there"):
        other.lock()
    destination.close()
    other.lock()
    other.close()


def test_free_bytes_are_those_of_users_without_privileges(
    destination: Destination, monkeypatch: pytest.MonkeyPatch
) -> None:
    space = SimpleNamespace(f_bavail=3, f_bfree=100, f_blocks=1000, f_frsize=4096, f_bsize=8192)
    monkeypatch.setattr(os, "fstatvfs", lambda descriptor: space)
    assert destination.free_bytes() == 3 * 4096


def test_a_destination_that_is_not_made_is_empty_and_stays_away(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"not below the destination")
    destination = Destination(tmp_path / "not" / "there", create=False)
    assert destination.status("file") is None
    with pytest.raises(FileNotFoundError):
        destination.read("file")
    destination.remove("file")
    assert destination.free_bytes() > 0
    destination.close()
    assert os.listdir(tmp_path) == ["file"]
    assert (tmp_path / "file").exists()


@pytest.mark.parametrize("create", [True, False])
def test_a_file_is_no_destination(tmp_path: Path, create: bool) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(InputError, match=r"--dest .*file: .*; give a folder to write"):
        Destination(tmp_path / "file", create)
