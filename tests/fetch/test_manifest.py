"""manifest.json: what it records, when it is saved, and what of it is believed."""

import json
import os
from pathlib import Path

import pytest

from cloudmask.errors import InputError
from cloudmask.fetch import manifest as module
from cloudmask.fetch.destination import Destination
from cloudmask.fetch.manifest import Manifest, ManifestEntry
from tests.fetch.recorded_files import record_file_operations

SOURCE = {"endpoint": "https://host", "bucket": "bucket", "prefix": "en/ds1"}
ENTRY = ManifestEntry("en/ds1/training/S3A_1.hdf", 10, "e" * 32, "a" * 64, 123, "etag")
PATH = "training/S3A_1.hdf"


@pytest.fixture
def destination(tmp_path: Path) -> Destination:
    return Destination(tmp_path, create=True)


def test_entries_survive_and_the_file_format_is_this(destination: Destination) -> None:
    manifest = Manifest(destination, "ds1", SOURCE)
    manifest.add(PATH, ENTRY)
    assert manifest.save()
    assert json.loads((destination.path / "manifest.json").read_text()) == {
        "format": 1,
        "dataset": "ds1",
        "source": SOURCE,
        "files": {
            PATH: {
                "key": "en/ds1/training/S3A_1.hdf",
                "size": 10,
                "etag": "e" * 32,
                "sha256": "a" * 64,
                "mtime_ns": 123,
                "checked_by": "etag",
            }
        },
    }
    assert Manifest(destination, "ds1", SOURCE).entries == {PATH: ENTRY}


def test_it_is_on_disk_before_it_has_its_name(
    destination: Destination, monkeypatch: pytest.MonkeyPatch
) -> None:
    manifest = Manifest(destination, "ds1", SOURCE)
    manifest.add(PATH, ENTRY)
    with record_file_operations(monkeypatch) as operations:
        assert manifest.save()
    assert operations == [
        "fsync manifest.json.part",
        "rename manifest.json.part to manifest.json",
    ]


def test_an_unchanged_manifest_is_not_written(
    destination: Destination, monkeypatch: pytest.MonkeyPatch
) -> None:
    manifest = Manifest(destination, "ds1", SOURCE)
    with record_file_operations(monkeypatch) as operations:
        assert manifest.save()
        manifest.remove("training/unknown.hdf")
        assert manifest.save()
        assert operations == []
        manifest.add(PATH, ENTRY)
        assert manifest.save()
        assert manifest.save()
        assert len(operations) == 2
        manifest.remove(PATH)
        assert manifest.save()
        assert len(operations) == 4
    assert Manifest(destination, "ds1", SOURCE).entries == {}


def test_it_is_saved_every_ten_seconds(
    destination: Destination, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [1000.0]
    monkeypatch.setattr(module.time, "monotonic", lambda: now[0])
    manifest = Manifest(destination, "ds1", SOURCE)
    path = destination.path / "manifest.json"
    now[0] += 9.9
    manifest.add(PATH, ENTRY)
    assert not path.exists()
    now[0] += 0.1
    manifest.add("training/S3A_2.hdf", ENTRY)
    assert set(json.loads(path.read_text())["files"]) == {PATH, "training/S3A_2.hdf"}
    now[0] += 9.9
    manifest.add("training/S3A_3.hdf", ENTRY)
    assert len(json.loads(path.read_text())["files"]) == 2


def test_a_full_disk_leaves_the_old_manifest_and_the_next_save_tries_again(
    destination: Destination, monkeypatch: pytest.MonkeyPatch
) -> None:
    manifest = Manifest(destination, "ds1", SOURCE)
    manifest.add(PATH, ENTRY)
    assert manifest.save()
    manifest.add("training/S3A_2.hdf", ENTRY)
    with monkeypatch.context() as patch:

        def full(descriptor: int) -> None:
            raise OSError(28, "No space left on device")

        patch.setattr(os, "fsync", full)
        assert not manifest.save()
        assert set(Manifest(destination, "ds1", SOURCE).entries) == {PATH}
    assert manifest.save()
    assert len(Manifest(destination, "ds1", SOURCE).entries) == 2


@pytest.mark.parametrize(
    "content",
    [
        "",
        "[]",
        "{",
        '{"format": 2, "dataset": "ds1", "files": {}}',
        '{"format": 1, "dataset": "ds1", "files": []}',
        "[" * 100_000,
    ],
)
def test_a_manifest_that_cannot_be_understood_is_empty(
    destination: Destination, content: str
) -> None:
    (destination.path / "manifest.json").write_text(content)
    assert Manifest(destination, "ds1", SOURCE).entries == {}


@pytest.mark.parametrize(
    "change",
    [{"size": "10"}, {"size": True}, {"sha256": None}, {"extra": 1}, {"mtime_ns": 1.5}],
    ids=str,
)
def test_a_malformed_entry_is_left_out_and_the_others_stay(
    destination: Destination, change: dict[str, object]
) -> None:
    manifest = Manifest(destination, "ds1", SOURCE)
    manifest.add(PATH, ENTRY)
    manifest.save()
    path = destination.path / "manifest.json"
    document = json.loads(path.read_text())
    document["files"]["training/S3A_2.hdf"] = {**document["files"][PATH], **change}
    document["files"]["training/S3A_3.hdf"] = []
    path.write_text(json.dumps(document))
    assert Manifest(destination, "ds1", SOURCE).entries == {PATH: ENTRY}


def test_another_data_set_is_refused(destination: Destination) -> None:
    manifest = Manifest(destination, "ds1", SOURCE)
    manifest.add(PATH, ENTRY)
    manifest.save()
    with pytest.raises(InputError, match="holds 'ds1', not ds2: give each data set a folder"):
        Manifest(destination, "ds2", SOURCE)


def test_an_entry_describes_a_file_of_the_same_size_and_time(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(bytes(10))
    os.utime(path, ns=(123, 123))
    assert ENTRY.describes(path.stat())
    os.utime(path, ns=(123, 124))
    assert not ENTRY.describes(path.stat())
    path.write_bytes(bytes(11))
    os.utime(path, ns=(123, 123))
    assert not ENTRY.describes(path.stat())
