"""Files that are there already: which are read, and which are corrupt."""

import hashlib
import os
from collections.abc import Callable
from pathlib import Path
from threading import Event
from types import SimpleNamespace
from typing import Any

import pytest

from cloudmask.fetch.bucket import Bucket
from cloudmask.fetch.destination import Destination
from cloudmask.fetch.etag import EtagVerifier
from cloudmask.fetch.local_files import (
    FileState,
    LocalFile,
    check_content,
    check_metadata,
    quarantine,
    schema_problem,
)
from cloudmask.fetch.manifest import ManifestEntry
from cloudmask.fetch.retry import RetryPolicy
from cloudmask.fetch.selection import SceneObject
from tests.fetch.scene_bucket import scene
from tests.scene_files import compress_with_missing_filter, write_scene

MIB = 2**20
CONTENT = scene(0, 2 * MIB)
PATH = "training/S3A_1.hdf"
MD5 = hashlib.md5(CONTENT, usedforsecurity=False).hexdigest()
SCENE = SceneObject("en/ds1/" + PATH, PATH, len(CONTENT), MD5)
ENTRY = ManifestEntry(
    SCENE.key, SCENE.size, SCENE.etag, hashlib.sha256(CONTENT).hexdigest(), 123, "etag"
)


@pytest.fixture
def destination(tmp_path: Path) -> Destination:
    """Holds the scene, with the time that the manifest names."""
    (tmp_path / "training").mkdir()
    (tmp_path / PATH).write_bytes(CONTENT)
    os.utime(tmp_path / PATH, ns=(123, 123))
    return Destination(tmp_path, create=False)


@pytest.fixture
def check(destination: Destination) -> Callable[..., LocalFile]:
    """Read the scene's file, with a server that does not know the part size."""

    def head_object(**request: Any) -> dict[str, int]:
        assert request == {"Bucket": "bucket", "Key": SCENE.key, "PartNumber": 1}
        return {"ContentLength": len(CONTENT)}

    client = SimpleNamespace(head_object=head_object)
    bucket = Bucket(client, "https://host", "bucket", RetryPolicy(), Event())

    def check(entry: ManifestEntry | None, scene: SceneObject = SCENE) -> LocalFile:
        return check_content(destination, scene, entry, bucket, EtagVerifier())

    return check


def flip(path: Path, position: int) -> None:
    content = bytearray(CONTENT)
    content[position] ^= 1
    path.write_bytes(content)


def test_a_file_that_the_manifest_describes_is_not_read(destination: Destination) -> None:
    file = check_metadata(destination, SCENE, ENTRY, reread=False)
    assert file == LocalFile(SCENE, FileState.PRESENT, entry=ENTRY)


def test_a_file_is_read_if_asked_for_or_changed_or_not_in_the_manifest(
    destination: Destination,
) -> None:
    unverified = LocalFile(SCENE, FileState.UNVERIFIED)
    assert check_metadata(destination, SCENE, ENTRY, reread=True) == unverified
    assert check_metadata(destination, SCENE, None, reread=False) == unverified
    os.utime(destination.path / PATH, ns=(124, 124))
    assert check_metadata(destination, SCENE, ENTRY, reread=False) == unverified


def test_newer_content_in_the_bucket_makes_the_file_missing(destination: Destination) -> None:
    newer = SceneObject(SCENE.key, PATH, SCENE.size, "f" * 32)
    missing = LocalFile(newer, FileState.MISSING)
    assert check_metadata(destination, newer, ENTRY, reread=True) == missing
    assert (destination.path / PATH).read_bytes() == CONTENT


def test_a_link_or_a_folder_in_the_way_blocks(destination: Destination, tmp_path: Path) -> None:
    (tmp_path / PATH).unlink()
    assert check_metadata(destination, SCENE, None, False).state is FileState.MISSING
    (tmp_path / PATH).symlink_to(tmp_path / "elsewhere")
    assert check_metadata(destination, SCENE, None, False).state is FileState.BLOCKED
    (tmp_path / PATH).unlink()
    (tmp_path / PATH).mkdir()
    assert check_metadata(destination, SCENE, None, False).state is FileState.BLOCKED
    (tmp_path / PATH).rmdir()
    (tmp_path / "training").rmdir()
    (tmp_path / "training").symlink_to(tmp_path)
    assert check_metadata(destination, SCENE, None, False).state is FileState.BLOCKED


@pytest.mark.parametrize("entry", [ENTRY, None], ids=["manifest", "etag"])
def test_a_sound_file_is_present_with_an_entry(
    check: Callable[..., LocalFile], entry: ManifestEntry | None
) -> None:
    assert check(entry) == LocalFile(SCENE, FileState.PRESENT, entry=ENTRY, sha256=ENTRY.sha256)


def test_the_entry_keeps_how_it_was_checked(check: Callable[..., LocalFile]) -> None:
    twice = ManifestEntry(**{**vars(ENTRY), "checked_by": "two identical transfers"})
    assert check(twice).entry == twice


@pytest.mark.parametrize("position", [0, MIB - 1, MIB, 2 * MIB - 1, 2 * MIB, len(CONTENT) - 1])
@pytest.mark.parametrize("entry", [ENTRY, None], ids=["manifest", "etag"])
def test_every_byte_is_read(
    destination: Destination,
    check: Callable[..., LocalFile],
    entry: ManifestEntry | None,
    position: int,
) -> None:
    flip(destination.path / PATH, position)
    file = check(entry)
    assert file.state is FileState.CORRUPT
    assert file.problem == (
        "its SHA-256 is not the one in the manifest"
        if entry is not None
        else "its content does not match its ETag"
    )
    assert file.sha256 == hashlib.sha256((destination.path / PATH).read_bytes()).hexdigest()


@pytest.mark.parametrize("entry", [ENTRY, None], ids=["manifest", "etag"])
@pytest.mark.parametrize("content", [CONTENT[:-1], CONTENT + b"x", b""])
def test_a_file_of_another_size_is_corrupt(
    destination: Destination,
    check: Callable[..., LocalFile],
    entry: ManifestEntry | None,
    content: bytes,
) -> None:
    (destination.path / PATH).write_bytes(content)
    file = check(entry)
    assert file.state is FileState.CORRUPT
    assert file.problem == f"it has {len(content)} bytes instead of {len(CONTENT)}"
    assert file.sha256 == hashlib.sha256(content).hexdigest()


def test_a_file_whose_etag_cannot_be_recomputed_is_corrupt_without_an_entry(
    check: Callable[..., LocalFile],
) -> None:
    opaque = SceneObject(SCENE.key, PATH, SCENE.size, "opaque")
    assert check(None, opaque).problem == (
        "its ETag cannot be recomputed, and it is not in the manifest"
    )
    parts = SceneObject(SCENE.key, PATH, SCENE.size, f"{'0' * 32}-2")
    assert check(None, parts).state is FileState.CORRUPT


def test_the_bucket_s_own_bytes_are_corrupt_if_they_are_no_scene(
    destination: Destination, check: Callable[..., LocalFile]
) -> None:
    content = b"certainly not HDF5"
    (destination.path / PATH).write_bytes(content)
    etag = hashlib.md5(content, usedforsecurity=False).hexdigest()
    file = check(None, SceneObject(SCENE.key, PATH, len(content), etag))
    assert file.state is FileState.CORRUPT
    assert "S3A_1.hdf" in file.problem
    assert file.problem == schema_problem(destination.path / PATH)


def test_a_scene_whose_filter_is_not_installed_here_is_present(
    destination: Destination, check: Callable[..., LocalFile]
) -> None:
    path = destination.path / PATH
    path.unlink()
    content = compress_with_missing_filter(write_scene(path), "bts").read_bytes()
    etag = hashlib.md5(content, usedforsecurity=False).hexdigest()
    file = check(None, SceneObject(SCENE.key, PATH, len(content), etag))
    assert (file.state, file.problem) == (FileState.PRESENT, "")


def test_an_unreadable_file_blocks(
    check: Callable[..., LocalFile], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(descriptor: int, buffers: object, offset: int) -> int:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(os, "preadv", fail)
    assert check(ENTRY) == LocalFile(
        SCENE, FileState.BLOCKED, "cannot be read (Input/output error)"
    )


def test_quarantine_keeps_the_path_and_the_same_content_once(destination: Destination) -> None:
    kept = quarantine(destination, PATH, SCENE, "0123456789abcdef")
    assert kept == f"quarantine/{PATH}.01234567"
    assert (destination.path / kept).read_bytes() == CONTENT
    assert not (destination.path / PATH).exists()
    (destination.path / PATH).write_bytes(CONTENT)
    assert quarantine(destination, PATH, SCENE, "0123456789abcdef") == kept
    (destination.path / PATH).write_bytes(b"other")
    other = quarantine(destination, PATH, SCENE, "fedcba9876543210")
    assert other == f"quarantine/{PATH}.fedcba98"
    assert sorted(path.read_bytes() for path in (destination.path / kept).parent.iterdir()) == (
        sorted([CONTENT, b"other"])
    )


def test_a_sound_scene_has_no_problem(destination: Destination) -> None:
    assert schema_problem(destination.path / PATH) == ""
