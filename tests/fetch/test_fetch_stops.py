"""A fetch that stops, by Ctrl-C or on a full disk, keeps what it has written."""

import _thread
import errno
import signal
import threading
import time
from pathlib import Path

import pytest

from cloudmask.fetch import partial_file, workers
from cloudmask.fetch.manifest import Manifest, ManifestEntry
from tests.fetch.faulty_proxy import Fault
from tests.fetch.recorded_files import record_file_operations
from tests.fetch.scene_bucket import Bucket, is_whole, manifest, name, scene
from tests.fetch.written_blocks import WrittenBlocks

BLOCK_BYTES = 2**18
SIZE = 6 * BLOCK_BYTES


@pytest.mark.parametrize("reason", ["No space left on device", "Disk quota exceeded"])
def test_a_full_disk_ends_the_fetch_and_the_next_one_goes_on(
    bucket: Bucket,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    reason: str,
) -> None:
    for index in range(4):
        bucket.put(name(index), scene(index, SIZE))
    pwrite = partial_file.os.pwrite
    number = {"No space left on device": errno.ENOSPC, "Disk quota exceeded": errno.EDQUOT}[reason]

    def full(descriptor: int, data: bytes, position: int) -> int:
        if position >= 2 * BLOCK_BYTES:
            raise OSError(number, reason)
        return pwrite(descriptor, data, position)

    with monkeypatch.context() as patch:
        patch.setattr(partial_file.os, "pwrite", full)
        assert bucket.fetch(tmp_path, workers=1) == 4
    said = capsys.readouterr().out
    assert f"failed: {name(0)}: cannot be written: {reason.lower()}\n" in said
    assert f"failed: {name(1)}: " in said  # Its job may have begun.
    for index in (2, 3):
        assert f"failed: {name(index)}: not fetched, since the disk is full\n" in said
    assert "0 fetched" in said
    assert bucket.fetch(tmp_path, workers=1) == 0
    starts = [item.first_byte for item in bucket.proxy.downloads if name(0) in item.target]
    assert starts == [0, 2 * BLOCK_BYTES]
    assert is_whole(tmp_path, 4, SIZE)


def test_a_disk_that_fails_otherwise_costs_one_scene(
    bucket: Bucket,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for index in range(2):
        bucket.put(name(index), scene(index, SIZE))
    pwrite, failed = partial_file.os.pwrite, threading.Event()

    def fail_once(descriptor: int, data: bytes, position: int) -> int:
        if not failed.is_set():
            failed.set()
            raise OSError(errno.EIO, "Input/output error")
        return pwrite(descriptor, data, position)

    monkeypatch.setattr(partial_file.os, "pwrite", fail_once)
    assert bucket.fetch(tmp_path, workers=1) == 4
    assert f"failed: {name(0)}: cannot be written: input/output error\n" in capsys.readouterr().out
    assert (tmp_path / name(1)).read_bytes() == scene(1, SIZE)


def test_a_file_is_on_disk_before_it_has_its_name_and_before_the_manifest(
    bucket: Bucket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bucket.put(name(0), scene(0))
    final = name(0).rpartition("/")[2]
    with record_file_operations(monkeypatch) as operations:
        assert bucket.fetch(tmp_path) == 0
    assert operations == [
        f"fsync {final}.part",
        f"rename {final}.part to {final}",
        "fsync manifest.json.part",
        "rename manifest.json.part to manifest.json",
    ]


def test_ctrl_c_gives_130_and_keeps_what_came(
    bucket: Bucket,
    written: WrittenBlocks,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for index in range(2):
        bucket.put(name(index), scene(index, SIZE))

    recorded = threading.Event()
    add = Manifest.add

    def add_and_tell(manifest: Manifest, path: str, entry: ManifestEntry) -> None:
        add(manifest, path, entry)
        recorded.set()

    def interrupt() -> None:
        written.wait_for(name(1), 3 * BLOCK_BYTES)
        recorded.wait()
        _thread.interrupt_main()

    monkeypatch.setattr(Manifest, "add", add_and_tell)

    # While the connection is silent, the worker sees the stop only at the end of its time-out.
    monkeypatch.setattr(workers, "JOIN_TIMEOUT_S", 0.0)
    bucket.proxy.fault = lambda request: (
        Fault("stall", after=3 * BLOCK_BYTES + 100, wait=interrupt)
        if name(1) in request.target
        else None
    )
    handler = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        assert bucket.fetch(tmp_path, workers=1) == 130
    finally:
        signal.signal(signal.SIGINT, handler)
    assert "interrupted; everything fetched so far is kept" in capsys.readouterr().out
    assert set(manifest(tmp_path)) == {name(0)}
    bucket.proxy.fault = lambda request: None
    assert bucket.fetch(tmp_path) == 0
    assert bucket.proxy.downloads[-1].first_byte == 3 * BLOCK_BYTES
    assert is_whole(tmp_path, 2, SIZE)


@pytest.mark.slow
def test_ctrl_c_ends_promptly_with_130_and_everything_kept(bucket: Bucket, tmp_path: Path) -> None:
    for index in range(4):
        bucket.put(name(index), scene(index, SIZE))
    stalled = threading.Event()
    bucket.proxy.fault = lambda request: (
        Fault("stall", after=3 * BLOCK_BYTES + 100, wait=stalled.set)
        if name(3) in request.target
        else None
    )
    process = bucket.start(tmp_path, workers=1)
    assert stalled.wait(300)
    journal = tmp_path / f"{name(3)}.part.journal"
    while not journal.read_bytes().endswith(b"\n0 %d\n" % (3 * BLOCK_BYTES)):
        assert process.poll() is None
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    # The connection stays silent, and its time-out is ten minutes: the process does not wait.
    said, _ = process.communicate(timeout=300)
    assert process.returncode == 130, said
    # A worker takes a job only when the result before the last has been handled.
    assert {name(0), name(1)} <= set(manifest(tmp_path)) <= {name(0), name(1), name(2)}
    bucket.proxy.fault = lambda request: None
    assert bucket.fetch(tmp_path) == 0
    assert bucket.proxy.downloads[-1].first_byte == 3 * BLOCK_BYTES
    assert is_whole(tmp_path, 4, SIZE)
