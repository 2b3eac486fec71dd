"""A bucket of small scenes on a real S3 server, and ways to fetch from it."""

from __future__ import annotations

import functools
import io
import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from cloudmask.fetch.command import FetchOptions, fetch
from cloudmask.fetch.retry import RetryPolicy
from tests.fetch.faulty_proxy import FaultyProxy
from tests.paths import ROOT

PREFIX = "es/cloud_slstr_ds1"
QUICK_RETRIES = RetryPolicy(
    attempts=6,
    first_wait_s=0.01,
    max_wait_s=0.05,
    # No test waits for these, unless a server is to be silent.
    connect_timeout_s=60.0,
    read_timeout_s=60.0,
)
# Ctrl-C is obeyed even where the tests themselves run in the background, which ignores it.
COMMAND = """
import signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)
from cloudmask.fetch.command import FetchOptions, fetch
from cloudmask.fetch.retry import RetryPolicy
from pathlib import Path
endpoint, bucket, dest, workers = sys.argv[1:]
options = FetchOptions("ds1", Path(dest), endpoint=endpoint, bucket=bucket, workers=int(workers))
sys.exit(fetch(options, RetryPolicy(first_wait_s=0.05, max_wait_s=0.2, read_timeout_s=600)))
"""


def scene(seed: int, padding: int = 1000) -> bytes:
    """A valid scene whose grids take no room, with random bytes that nobody reads."""
    content = bytearray(_template(padding))
    position = content.index(b"\xa5" * min(padding, 64))
    content[position : position + padding] = np.random.default_rng(seed).bytes(padding)
    return bytes(content)


@functools.cache
def _template(padding: int) -> bytes:
    memory = io.BytesIO()
    with h5py.File(memory, "w") as file:
        for name, depth in (("refs", 6), ("bts", 3), ("bayes", 1)):
            file.create_dataset(name, (1200, 1500, depth), "f4", chunks=(1200, 1500, 1))
        file["padding"] = np.full(padding, 0xA5, np.uint8)
    return memory.getvalue()


def name(index: int) -> str:
    """The path of a training scene below the prefix."""
    return f"training/S3A_SL_1_RBT____20190101T{index:06d}.hdf"


@dataclass
class Bucket:
    """A bucket of the real server, seen through a proxy."""

    client: Any
    name: str
    proxy: FaultyProxy

    def put(self, path: str, content: bytes, prefix: str = PREFIX) -> None:
        """Store an object that everybody may read."""
        key = f"{prefix}/{path}"
        self.client.put_object(Bucket=self.name, Key=key, Body=content, ACL="public-read")

    def put_in_parts(self, path: str, parts: list[bytes]) -> None:
        """Store an object the way upload tools store large ones."""
        where = {"Bucket": self.name, "Key": f"{PREFIX}/{path}"}
        upload = self.client.create_multipart_upload(**where, ACL="public-read")["UploadId"]
        done = []
        for number, part in enumerate(parts, start=1):
            answer = self.client.upload_part(**where, UploadId=upload, PartNumber=number, Body=part)
            done.append({"PartNumber": number, "ETag": answer["ETag"]})
        self.client.complete_multipart_upload(
            **where, UploadId=upload, MultipartUpload={"Parts": done}
        )

    def fetch(self, dest: Path, **options: Any) -> int:
        """Fetch through the proxy, with short waits between attempts."""
        options.setdefault("workers", 4)
        return run_fetch(self.proxy.endpoint, dest, bucket=self.name, **options)

    def start(self, dest: Path, workers: int = 4) -> subprocess.Popen[str]:
        """Fetch in a process of its own."""
        command = [self.proxy.endpoint, self.name, str(dest), str(workers)]
        return subprocess.Popen(
            [sys.executable, "-c", COMMAND, *command],
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )


def run_fetch(
    endpoint: str, dest: Path, policy: RetryPolicy = QUICK_RETRIES, **options: Any
) -> int:
    """Fetch with short waits between attempts."""
    return fetch(FetchOptions("ds1", dest, endpoint=endpoint, **options), policy)


def files_below(folder: Path) -> set[str]:
    """Every file, relative to the folder."""
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if not path.is_dir()}


def is_whole(dest: Path, count: int, padding: int) -> bool:
    """Whether these scenes, the manifest and nothing else are there."""
    contents = [(dest / name(index)).read_bytes() for index in range(count)]
    return contents == [scene(index, padding) for index in range(count)] and files_below(dest) == {
        "manifest.json",
        *(name(index) for index in range(count)),
    }


def manifest(dest: Path) -> dict[str, Any]:
    """The files that the manifest vouches for."""
    files: dict[str, Any] = json.loads((dest / "manifest.json").read_text())["files"]
    return files
