"""A real S3 server, a proxy that spoils its answers, and a server that lies."""

from __future__ import annotations

import functools
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.config import Config
from moto.server import ThreadedMotoServer

from cloudmask.fetch.partial_file import PartialFile, Segment
from tests.fetch import faulty_proxy, tiny_s3
from tests.fetch.scene_bucket import Bucket, run_fetch
from tests.fetch.tiny_s3 import TinyS3
from tests.fetch.written_blocks import WrittenBlocks


@pytest.fixture(scope="session")
def moto() -> Iterator[tuple[str, int]]:
    """Moto's S3 server on a free port of loopback."""
    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    yield server.get_host_and_port()
    server.stop()


@pytest.fixture(scope="session")
def owner(moto: tuple[str, int]) -> Any:
    """The client of somebody who may write to moto's buckets."""
    return boto3.client(
        "s3",
        endpoint_url=f"http://{moto[0]}:{moto[1]}",
        region_name="us-east-1",
        aws_access_key_id="test",
        aws_secret_access_key="test",
        config=Config(proxies={}, s3={"addressing_style": "path"}),
    )


@pytest.fixture
def bucket(moto: tuple[str, int], owner: Any) -> Iterator[Bucket]:
    """An empty bucket of its own for each test, behind a proxy that does nothing yet."""
    bucket_name = f"test-{uuid.uuid4()}"
    owner.create_bucket(Bucket=bucket_name)
    with faulty_proxy.running(moto) as proxy:
        yield Bucket(owner, bucket_name, proxy)


@pytest.fixture
def written(monkeypatch: pytest.MonkeyPatch) -> WrittenBlocks:
    """Records every block that is written."""
    blocks = WrittenBlocks()
    write = PartialFile.write

    def recorded(partial_file: PartialFile, segment: Segment, block: bytes) -> None:
        write(partial_file, segment, block)
        blocks.record(partial_file.path, segment.position)

    monkeypatch.setattr(PartialFile, "write", recorded)
    return blocks


@pytest.fixture
def hostile() -> Iterator[TinyS3]:
    """A server that can be made to lie."""
    with tiny_s3.running() as server:
        yield server


@pytest.fixture
def fetch_hostile(hostile: TinyS3, tmp_path: Path) -> Callable[..., int]:
    """Fetch from the hostile server into tmp_path/dest."""
    return functools.partial(run_fetch, hostile.endpoint, tmp_path / "dest")
