"""The partial file and its journal: which bytes a later transfer keeps."""

import errno
import os
from dataclasses import replace
from pathlib import Path

import pytest

from cloudmask.fetch import partial_file as module
from cloudmask.fetch.destination import Destination
from cloudmask.fetch.partial_file import PartialFile, WriteError, read_journal
from cloudmask.fetch.selection import SceneObject

MIB = 2**20
BLOCK = 2**18
SCENE = SceneObject("en/ds1/training/S3A_1.hdf", "training/S3A_1.hdf", 33 * MIB, "e" * 32)


@pytest.fixture
def destination(tmp_path: Path) -> Destination:
    return Destination(tmp_path, create=True)


@pytest.fixture
def journal(destination: Destination) -> Path:
    """The journal of a transfer that was killed: two blocks of segment 0, one of segment 1."""
    partial_file = PartialFile(destination, SCENE)
    first, second, _ = partial_file.segments
    partial_file.write(first, b"a" * BLOCK)
    partial_file.write(second, b"b" * BLOCK)
    partial_file.write(first, b"c" * BLOCK)
    partial_file.close()
    return destination.path / "training/S3A_1.hdf.part.journal"


def test_segments_of_16_mib_cover_the_object(destination: Destination) -> None:
    segments = PartialFile(destination, SCENE).segments
    assert [(segment.start, segment.length) for segment in segments] == [
        (0, 16 * MIB),
        (16 * MIB, 16 * MIB),
        (32 * MIB, MIB),
    ]
    assert [segment.end for segment in segments] == [16 * MIB, 32 * MIB, 33 * MIB]
    assert (destination.path / "training/S3A_1.hdf.part").stat().st_size == 33 * MIB


def test_a_later_transfer_resumes_behind_the_last_block_of_each_segment(
    destination: Destination, journal: Path
) -> None:
    assert read_journal(destination, SCENE) == [2 * BLOCK, BLOCK, 0]
    partial_file = PartialFile(destination, SCENE)
    assert [segment.done for segment in partial_file.segments] == [2 * BLOCK, BLOCK, 0]
    assert [segment.position for segment in partial_file.segments] == [
        2 * BLOCK,
        16 * MIB + BLOCK,
        32 * MIB,
    ]
    partial_file.write(partial_file.segments[0], b"d" * BLOCK)
    partial_file.close()
    assert read_journal(destination, SCENE) == [3 * BLOCK, BLOCK, 0]
    content = (destination.path / "training/S3A_1.hdf.part").read_bytes()
    assert content[: 4 * BLOCK] == b"a" * BLOCK + b"c" * BLOCK + b"d" * BLOCK + bytes(BLOCK)
    assert content[16 * MIB : 16 * MIB + 2 * BLOCK] == b"b" * BLOCK + bytes(BLOCK)


@pytest.mark.parametrize("change", [{"etag": "f" * 32}, {"size": 34 * MIB}, {"key": "es/ds1/x"}])
def test_another_object_starts_anew(
    destination: Destination, journal: Path, change: dict[str, object]
) -> None:
    changed = replace(SCENE, **change)  # type: ignore[arg-type]
    assert read_journal(destination, changed) is None
    partial_file = PartialFile(destination, changed)
    assert [segment.done for segment in partial_file.segments] == [0, 0, 0]
    partial_file.close()
    assert not any((destination.path / "training/S3A_1.hdf.part").read_bytes())
    assert read_journal(destination, SCENE) is None
    assert read_journal(destination, changed) == [0, 0, 0]


def test_after_a_reboot_the_transfer_starts_anew(
    destination: Destination, journal: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "boot_id").write_text("another boot\n")
    monkeypatch.setattr(module, "BOOT_ID", tmp_path / "boot_id")
    assert read_journal(destination, SCENE) is None


def test_a_partial_file_of_another_length_is_not_resumed(
    destination: Destination, journal: Path
) -> None:
    os.truncate(destination.path / "training/S3A_1.hdf.part", 32 * MIB)
    assert read_journal(destination, SCENE) is None


@pytest.mark.parametrize("lost", ["training/S3A_1.hdf.part", "training/S3A_1.hdf.part.journal"])
def test_bytes_without_journal_and_a_journal_without_bytes_are_not_resumed(
    destination: Destination, journal: Path, lost: str
) -> None:
    (destination.path / lost).unlink()
    assert read_journal(destination, SCENE) is None
    partial_file = PartialFile(destination, SCENE)
    assert [segment.done for segment in partial_file.segments] == [0, 0, 0]


def test_a_last_line_that_was_cut_short_does_not_count(
    destination: Destination, journal: Path
) -> None:
    with journal.open("ab") as file:
        file.write(b"2 26214")
    assert read_journal(destination, SCENE) == [2 * BLOCK, BLOCK, 0]


@pytest.mark.parametrize(
    "line",
    [
        f"0 {BLOCK}",
        f"0 {16 * MIB + 1}",
        f"2 {MIB + 1}",
        "3 1",
        f"-1 {BLOCK}",
        "0",
        "0 1 2",
        "a b",
    ],
)
def test_a_journal_that_contradicts_itself_is_not_believed(
    destination: Destination, journal: Path, line: str
) -> None:
    with journal.open("a") as file:
        file.write(line + "\n")
    assert read_journal(destination, SCENE) is None


def test_a_block_that_cannot_be_written_does_not_count(
    destination: Destination, monkeypatch: pytest.MonkeyPatch
) -> None:
    partial_file = PartialFile(destination, SCENE)
    segment = partial_file.segments[0]
    partial_file.write(segment, b"a" * BLOCK)

    def full(descriptor: int, data: object, position: int) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "pwrite", full)
        with pytest.raises(WriteError):
            partial_file.write(segment, b"b" * BLOCK)
    with monkeypatch.context() as patch:
        patch.setattr(os, "write", lambda descriptor, line: len(line) - 1)
        with pytest.raises(WriteError) as raised:
            partial_file.write(segment, b"b" * BLOCK)
        assert isinstance(raised.value.__cause__, OSError)
        assert raised.value.__cause__.errno == errno.ENOSPC
    assert segment.done == BLOCK
    assert read_journal(destination, SCENE) == [BLOCK, 0, 0]


def test_a_block_that_is_written_in_pieces_is_written_whole(
    destination: Destination, monkeypatch: pytest.MonkeyPatch
) -> None:
    partial_file = PartialFile(destination, SCENE)
    pwrite = os.pwrite
    monkeypatch.setattr(
        os, "pwrite", lambda descriptor, data, at: pwrite(descriptor, data[:1000], at)
    )
    block = bytes(range(256)) * 16
    partial_file.write(partial_file.segments[1], block)
    content = (destination.path / "training/S3A_1.hdf.part").read_bytes()
    assert content[16 * MIB : 16 * MIB + len(block) + 1] == block + b"\0"


def test_a_renamed_file_leaves_nothing_behind(destination: Destination, journal: Path) -> None:
    partial_file = PartialFile(destination, SCENE)
    partial_file.rename("training/S3A_1.hdf")
    partial_file.close()
    assert os.listdir(destination.path / "training") == ["S3A_1.hdf"]


def test_a_discarded_file_leaves_nothing_behind(destination: Destination, journal: Path) -> None:
    partial_file = PartialFile(destination, SCENE)
    partial_file.discard()
    partial_file.close()
    assert os.listdir(destination.path / "training") == []


def test_an_empty_object_has_no_segments_and_can_be_resumed(destination: Destination) -> None:
    empty = replace(SCENE, size=0)
    PartialFile(destination, empty).close()
    partial_file = PartialFile(destination, empty)
    assert partial_file.segments == []
    partial_file.close()
