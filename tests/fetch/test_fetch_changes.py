"""Objects that change, vanish or are no scenes while they are fetched."""

import functools
import threading
from pathlib import Path

import pytest

from tests.fetch.faulty_proxy import Fault, Request
from tests.fetch.scene_bucket import Bucket, manifest, name, scene
from tests.fetch.written_blocks import WrittenBlocks

BLOCK_BYTES = 2**18
SIZE = 6 * BLOCK_BYTES


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
            bucket.client.delete_object(Bucket=bucket.name, Key=f"es/cloud_slstr_ds1/{name(0)}")

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
