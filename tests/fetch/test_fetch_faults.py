"""A network that resets, stalls, truncates, flips bits and answers 503: nothing is lost."""

import signal
import threading
import time
from collections import Counter
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import pytest

from cloudmask.fetch.partial_file import BLOCK_BYTES
from tests.fetch import faulty_proxy
from tests.fetch.faulty_proxy import Fault, Request
from tests.fetch.scene_bucket import Bucket, files_below, manifest, name, scene

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


@pytest.mark.parametrize("kind", ["reset", "truncate", "stall"])
def test_broken_bodies_are_resumed_where_they_broke(
    bucket: Bucket, tmp_path: Path, kind: str
) -> None:
    for index in range(2):
        bucket.put(name(index), scene(index, SIZE))
    bucket.proxy.fault = first_times(2, Fault(kind, after=2 * BLOCK_BYTES + 100))  # type: ignore[arg-type]
    assert bucket.fetch(tmp_path) == 0
    assert is_whole(tmp_path, 2)
    # Of a body that ends too early every byte is kept, of one that fails whole blocks are.
    step = 2 * BLOCK_BYTES + (100 if kind == "truncate" else 0)
    starts = sorted(request.first_byte for request in bucket.proxy.downloads)
    assert starts == [0, 0, step, step, 2 * step, 2 * step]


def test_a_connection_that_breaks_forever_fails_and_keeps_what_came(
    bucket: Bucket, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bucket.put(name(0), scene(0, SIZE))
    bucket.put(name(1), scene(1, SIZE))
    bucket.proxy.fault = lambda request: (
        Fault("reset", after=BLOCK_BYTES if request.first_byte == 0 else 0)
        if name(0) in request.target
        else None
    )
    assert bucket.fetch(tmp_path) == 4
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


def test_an_object_replaced_between_two_attempts_is_not_mixed(
    bucket: Bucket, tmp_path: Path
) -> None:
    bucket.put(name(0), scene(0, SIZE))

    def replace(request: Request) -> Fault | None:
        if request.is_download and len(bucket.proxy.downloads) == 0:
            return Fault("reset", after=3 * BLOCK_BYTES)
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
    bucket.proxy.fault = lambda request: (
        Fault("stall", after=3 * BLOCK_BYTES + 100) if name(3) in request.target else None
    )
    process = bucket.start(tmp_path)
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline and not (tmp_path / name(2)).exists():
        time.sleep(0.05)
    time.sleep(0.5)
    process.send_signal(signal.SIGINT)
    started = time.monotonic()
    said, _ = process.communicate(timeout=20)
    assert process.returncode == 130, said
    assert time.monotonic() - started < 8
    assert len(manifest(tmp_path)) == 3
    bucket.proxy.fault = lambda request: None
    assert bucket.fetch(tmp_path) == 0
    assert bucket.proxy.downloads[-1].first_byte == 3 * BLOCK_BYTES
    assert is_whole(tmp_path, 4)
