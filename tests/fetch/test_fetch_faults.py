"""A network that resets, stalls, truncates, flips bits and answers 503: nothing is lost."""

import _thread
import errno
import functools
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import pytest

from cloudmask.fetch import partial_file, workers
from cloudmask.fetch.manifest import Manifest, ManifestEntry
from cloudmask.fetch.retry import RetryPolicy
from tests.fetch import faulty_proxy
from tests.fetch.conftest import WrittenBlocks
from tests.fetch.faulty_proxy import Fault, Request
from tests.fetch.recorded_files import record_file_operations
from tests.fetch.scene_bucket import Bucket, files_below, manifest, name, scene

BLOCK_BYTES = 2**18
SIZE = 6 * BLOCK_BYTES


def first_times(count: int, fault: Fault) -> Callable[[Request], Fault | None]:
    """The fault for the first `count` requests for the same thing, then none."""
    seen: Counter[str] = Counter()

    def decide(request: Request) -> Fault | None:
        seen[request.target] += 1
        return fault if seen[request.target] <= count else None

    return decide


def is_whole(dest: Path, count: int, padding: int = SIZE) -> bool:
    """Whether these scenes, the manifest and nothing else are there."""
    contents = [(dest / name(index)).read_bytes() for index in range(count)]
    return contents == [scene(index, padding) for index in range(count)] and files_below(dest) == {
        "manifest.json",
        *(name(index) for index in range(count)),
    }


@pytest.mark.parametrize("kind", ["reset", "truncate"])
def test_broken_bodies_are_resumed_where_they_broke(
    bucket: Bucket, written: WrittenBlocks, tmp_path: Path, kind: str
) -> None:
    # Of a body that ends too early every byte is kept, of one that fails whole blocks are.
    step = 2 * BLOCK_BYTES + (100 if kind == "truncate" else 0)

    def break_twice(request: Request) -> Fault | None:
        if not request.is_download or request.first_byte >= 2 * step:
            return None
        (scene_name,) = (name(index) for index in range(2) if name(index) in request.target)
        # A reset discards what the client has not read yet.
        arrived = request.first_byte + (2 * BLOCK_BYTES if kind == "reset" else 0)
        wait = functools.partial(written.wait_for, scene_name, arrived)
        return Fault(kind, after=2 * BLOCK_BYTES + 100, wait=wait)  # type: ignore[arg-type]

    for index in range(2):
        bucket.put(name(index), scene(index, SIZE))
    bucket.proxy.fault = break_twice
    assert bucket.fetch(tmp_path) == 0
    assert is_whole(tmp_path, 2)
    starts = sorted(request.first_byte for request in bucket.proxy.downloads)
    assert starts == [0, 0, step, step, 2 * step, 2 * step]


def test_a_silent_connection_is_given_up_and_resumed(bucket: Bucket, tmp_path: Path) -> None:
    bucket.put(name(0), scene(0, SIZE))
    bucket.proxy.fault = lambda request: (
        Fault("stall", after=3 * BLOCK_BYTES + 100 - request.first_byte)
        if request.is_download and request.first_byte < 3 * BLOCK_BYTES
        else None
    )
    # On a slow machine more requests time out: there are attempts enough.
    policy = RetryPolicy(attempts=1000, first_wait_s=0.01, max_wait_s=0.01, read_timeout_s=1.0)
    assert bucket.fetch(tmp_path, policy=policy) == 0
    assert is_whole(tmp_path, 1)
    assert 3 * BLOCK_BYTES in {request.first_byte for request in bucket.proxy.downloads}


def test_a_connection_that_breaks_forever_fails_and_keeps_what_came(
    bucket: Bucket, written: WrittenBlocks, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bucket.put(name(0), scene(0, SIZE))
    bucket.put(name(1), scene(1, SIZE))
    wait = functools.partial(written.wait_for, name(0), BLOCK_BYTES)
    bucket.proxy.fault = lambda request: (
        Fault("reset", after=BLOCK_BYTES if request.first_byte == 0 else 0, wait=wait)
        if name(0) in request.target
        else None
    )
    assert bucket.fetch(tmp_path) == 4
    # After the attempt that brings a block, five in a row bring none.
    starts = [item.first_byte for item in bucket.proxy.downloads if name(0) in item.target]
    assert starts == [0, *[BLOCK_BYTES] * 5]
    assert f"failed: {name(0)}" in capsys.readouterr().out
    assert not (tmp_path / name(0)).exists()
    assert (tmp_path / name(1)).read_bytes() == scene(1, SIZE)
    bucket.proxy.fault = lambda request: None
    assert bucket.fetch(tmp_path) == 0
    assert bucket.proxy.downloads[-1].first_byte == BLOCK_BYTES
    assert is_whole(tmp_path, 2)


@pytest.mark.parametrize(
    "status", ["503 Slow Down", "500 Internal Server Error", "429 Too Many Requests"]
)
def test_storms_of_errors_are_waited_out(bucket: Bucket, tmp_path: Path, status: str) -> None:
    for index in range(8):
        bucket.put(name(index), scene(index))
    bucket.proxy.fault = first_times(4, Fault("answer", answer=faulty_proxy.answer(status)))
    assert bucket.fetch(tmp_path, workers=8) == 0
    assert is_whole(tmp_path, 8, padding=1000)
    assert len(bucket.proxy.requests) == 9 * 5


def test_a_server_that_stays_unavailable_is_given_up(
    bucket: Bucket, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bucket.put(name(0), scene(0))
    refuse = Fault("answer", answer=faulty_proxy.answer("503 Slow Down"))
    bucket.proxy.fault = lambda request: refuse if request.is_download else None
    assert bucket.fetch(tmp_path) == 4
    assert len(bucket.proxy.downloads) == 6
    assert "503" in capsys.readouterr().out


def test_a_forbidden_object_is_not_asked_for_again(bucket: Bucket, tmp_path: Path) -> None:
    bucket.put(name(0), scene(0))
    refuse = Fault("answer", answer=faulty_proxy.answer("403 Forbidden"))
    bucket.proxy.fault = lambda request: refuse if request.is_download else None
    assert bucket.fetch(tmp_path) == 4
    assert len(bucket.proxy.downloads) == 1


def test_a_flipped_bit_is_noticed_quarantined_and_mended(
    bucket: Bucket, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bucket.put(name(0), scene(0, SIZE))
    bucket.proxy.fault = first_times(1, Fault("flip", after=SIZE // 2))
    assert bucket.fetch(tmp_path) == 0
    assert (tmp_path / name(0)).read_bytes() == scene(0, SIZE)
    (kept,) = (tmp_path / "quarantine").rglob("*.hdf.*")
    differing = [a ^ b for a, b in zip(kept.read_bytes(), scene(0, SIZE), strict=True) if a != b]
    assert differing == [16]
    assert name(0) in capsys.readouterr().err


def test_bits_that_flip_every_time_fail_after_one_more_attempt(
    bucket: Bucket, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bucket.put(name(0), scene(0))
    bucket.proxy.fault = first_times(99, Fault("flip", after=500))
    assert bucket.fetch(tmp_path) == 4
    assert len(bucket.proxy.downloads) == 2
    assert not (tmp_path / name(0)).exists()
    assert f"failed: {name(0)}: its content does not match its ETag, twice" in (
        capsys.readouterr().out
    )


@pytest.mark.parametrize("part", [5 * 2**20, 5 * 2**20 + 12345])
def test_objects_uploaded_in_parts_are_checked(bucket: Bucket, tmp_path: Path, part: int) -> None:
    content = scene(0, 2 * part)
    parts = [content[start : start + part] for start in range(0, len(content), part)]
    bucket.put_in_parts(name(0), parts)
    bucket.proxy.fault = first_times(1, Fault("flip", after=part))
    assert bucket.fetch(tmp_path) == 0
    assert (tmp_path / name(0)).read_bytes() == content
    assert manifest(tmp_path)[name(0)]["etag"].endswith("-3")
    assert manifest(tmp_path)[name(0)]["checked_by"] == "etag"


def test_uneven_parts_are_checked_by_a_second_transfer(bucket: Bucket, tmp_path: Path) -> None:
    content = scene(0, 13 * 2**20)
    cuts = (0, 7 * 2**20, 12 * 2**20, len(content))
    bucket.put_in_parts(name(0), [content[a:b] for a, b in pairwise(cuts)])
    assert bucket.fetch(tmp_path) == 0
    assert (tmp_path / name(0)).read_bytes() == content
    assert manifest(tmp_path)[name(0)]["checked_by"] == "two identical transfers"
    assert len(bucket.proxy.downloads) == 2
    assert bucket.fetch(tmp_path, verify=True) == 0
    assert len(bucket.proxy.downloads) == 2


def test_an_object_replaced_after_the_listing_arrives_in_its_new_form(
    bucket: Bucket, tmp_path: Path
) -> None:
    bucket.put(name(0), scene(0))
    replaced = threading.Event()

    def replace(request: Request) -> None:
        if request.is_download and not replaced.is_set():
            replaced.set()
            bucket.put(name(0), scene(1, 5000))

    bucket.proxy.fault = replace
    assert bucket.fetch(tmp_path) == 0
    assert (tmp_path / name(0)).read_bytes() == scene(1, 5000)


def test_an_object_that_keeps_changing_is_given_up(
    bucket: Bucket, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bucket.put(name(0), scene(0))

    def replace(request: Request) -> None:
        if request.is_download and request.method == "GET":
            bucket.put(name(0), scene(len(bucket.proxy.downloads) + 1))

    bucket.proxy.fault = replace
    assert bucket.fetch(tmp_path) == 4
    assert len(bucket.proxy.downloads) == 4
    assert f"failed: {name(0)}: the object keeps changing\n" in capsys.readouterr().out


def test_every_request_for_bytes_names_the_etag_and_the_range(
    bucket: Bucket, tmp_path: Path
) -> None:
    content = scene(0, 17 * 2**20)
    bucket.put(name(0), content)
    assert bucket.fetch(tmp_path) == 0
    etag = manifest(tmp_path)[name(0)]["etag"]
    assert len(etag) == 32
    heads = [request.head.lower() for request in bucket.proxy.downloads]
    assert all(f'\r\nif-match: "{etag}"\r\n' in head for head in heads)
    ranges = {line for head in heads for line in head.splitlines() if line.startswith("range:")}
    assert ranges == {
        "range: bytes=0-16777215",
        f"range: bytes=16777216-{len(content) - 1}",
    }


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
    before = len(bucket.proxy.downloads)
    assert bucket.fetch(tmp_path, workers=1) == 0
    assert bucket.proxy.downloads[before].first_byte == 2 * BLOCK_BYTES
    assert is_whole(tmp_path, 4)


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
    assert is_whole(tmp_path, 2)


def test_an_object_replaced_between_two_attempts_is_not_mixed(
    bucket: Bucket, written: WrittenBlocks, tmp_path: Path
) -> None:
    wait = functools.partial(written.wait_for, name(0), 3 * BLOCK_BYTES)
    bucket.put(name(0), scene(0, SIZE))

    def replace(request: Request) -> Fault | None:
        if request.is_download and len(bucket.proxy.downloads) == 0:
            return Fault("reset", after=3 * BLOCK_BYTES, wait=wait)
        if request.is_download and request.first_byte > 0:
            bucket.put(name(0), scene(1, SIZE))
        return None

    bucket.proxy.fault = replace
    assert bucket.fetch(tmp_path) == 0
    assert (tmp_path / name(0)).read_bytes() == scene(1, SIZE)


def test_an_object_removed_after_the_listing_is_named(
    bucket: Bucket, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bucket.put(name(0), scene(0))
    bucket.put(name(1), scene(1))

    def remove(request: Request) -> None:
        if request.is_download:
            bucket.client.delete_object(Bucket=bucket.name, Key=f"en/cloud_slstr_ds1/{name(0)}")

    bucket.proxy.fault = remove
    assert bucket.fetch(tmp_path, workers=1) == 4
    assert f"failed: {name(0)}: the server answers 404" in capsys.readouterr().out
    assert (tmp_path / name(1)).exists()


def test_an_object_that_is_no_scene_is_quarantined_and_not_fetched_twice(
    bucket: Bucket, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bucket.put(name(0), b"certainly not HDF5")
    bucket.put(name(1), b"")
    assert bucket.fetch(tmp_path) == 4
    assert not (tmp_path / name(0)).exists()
    assert len([request for request in bucket.proxy.downloads if name(0) in request.target]) == 1
    said = capsys.readouterr().out
    assert f"failed: {name(0)}: the bucket's object is no scene" in said
    assert f"failed: {name(1)}: the bucket's object is no scene" in said


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
    assert is_whole(tmp_path, 4)
