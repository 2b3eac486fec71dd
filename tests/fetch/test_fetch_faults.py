"""A network that resets, stalls, truncates, flips bits and answers 503: nothing is lost."""

import functools
from collections import Counter
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import pytest

from cloudmask.fetch.retry import RetryPolicy
from tests.fetch import faulty_proxy
from tests.fetch.faulty_proxy import Fault, Request
from tests.fetch.scene_bucket import Bucket, is_whole, manifest, name, scene
from tests.fetch.written_blocks import WrittenBlocks

BLOCK_BYTES = 2**18
SIZE = 6 * BLOCK_BYTES


def first_times(count: int, fault: Fault) -> Callable[[Request], Fault | None]:
    """The fault for the first `count` requests for the same thing, then none."""
    seen: Counter[str] = Counter()

    def decide(request: Request) -> Fault | None:
        seen[request.target] += 1
        return fault if seen[request.target] <= count else None

    return decide


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
    assert is_whole(tmp_path, 2, SIZE)
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
    assert is_whole(tmp_path, 1, SIZE)
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
    assert is_whole(tmp_path, 2, SIZE)


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


@pytest.mark.slow
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
