"""Killed at random, out of disk, short of memory: whole runs of the real thing."""

import functools
import random
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.fetch.faulty_proxy import Fault, Request
from tests.fetch.scene_bucket import (
    COMMAND,
    PREFIX,
    Bucket,
    files_below,
    manifest,
    name,
    scene,
)
from tests.fetch.tiny_s3 import TinyS3, etag
from tests.paths import ROOT

pytestmark = pytest.mark.slow
BLOCK_BYTES = 2**18


class ChunkBudget:
    """Lets a number of chunks of 16 KiB through, and breaks connections when it is closed."""

    def __init__(self, chunks: int) -> None:
        self._left = chunks
        self._closed = False
        self._changed = threading.Condition()

    def take(self) -> None:
        """Let a chunk through, or wait until the budget is closed."""
        with self._changed:
            self._changed.wait_for(lambda: self._closed or self._left > 0)
            if self._closed:
                raise ConnectionAbortedError
            self._left -= 1
            self._changed.notify_all()

    def is_used_up(self) -> bool:
        """Whether all chunks are through."""
        with self._changed:
            return self._left == 0

    def close(self) -> None:
        """End all connections."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()


def bytes_kept(dest: Path, count: int) -> int:
    """Bytes of complete files, and of partial files as their journals have them."""
    kept = 0
    for index in range(count):
        path = dest / name(index)
        journal = dest / f"{name(index)}.part.journal"
        if path.exists():
            kept += path.stat().st_size
        elif journal.exists():
            lines = journal.read_bytes().split(b"\n")[1:-1]
            kept += int(lines[-1].split()[1]) if lines else 0
    return kept


def test_killed_six_times_at_random_it_resumes_and_loses_nothing_that_was_written(
    bucket: Bucket, tmp_path: Path
) -> None:
    chance = random.Random(1234)
    count, padding = 10, 8 * BLOCK_BYTES
    contents = [scene(index, padding) for index in range(count)]
    for index in range(count):
        bucket.put(name(index), contents[index])
    kept = 0
    for kill in range(6):
        budget = ChunkBudget(chance.randint(20, 150))  # 6 x 150 chunks are less than all files
        bucket.proxy.fault = functools.partial(gate, Fault("gate", wait=budget.take))
        process = bucket.start(tmp_path, workers=3)
        # The last kill waits for a block, so that there is something to resume.
        while not budget.is_used_up() or (kill == 5 and bytes_kept(tmp_path, count) == 0):
            assert process.poll() is None, process.communicate()[0]
            time.sleep(0.01)
        process.kill()
        process.communicate()
        budget.close()
        for index in range(count):
            path = tmp_path / name(index)
            assert not path.exists() or path.read_bytes() == contents[index]
        if (tmp_path / "manifest.json").exists():
            assert set(manifest(tmp_path)) <= files_below(tmp_path)
        kept_before, kept = kept, bytes_kept(tmp_path, count)
        assert kept >= kept_before
    assert 0 < kept < sum(map(len, contents))
    bucket.proxy.fault = lambda request: None
    transferred = bucket.proxy.downloaded_bytes
    assert bucket.fetch(tmp_path) == 0
    assert [(tmp_path / name(index)).read_bytes() for index in range(count)] == contents
    assert files_below(tmp_path) == {"manifest.json", *(name(index) for index in range(count))}
    assert bucket.proxy.downloaded_bytes - transferred == sum(map(len, contents)) - kept


def gate(fault: Fault, request: Request) -> Fault | None:
    """The fault for downloads."""
    return fault if request.is_download else None


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 8 MiB."""
    place = tmp_path / "disk"
    place.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", str(place)]
    try:
        mounted = subprocess.run(command, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        pytest.skip("no tmpfs can be mounted: there is no mount command")
    if mounted.returncode != 0:
        pytest.skip(f"no tmpfs can be mounted: {mounted.stderr.strip()}")
    yield place
    subprocess.run(["umount", "-l", str(place)], check=True)


def test_a_disk_that_fills_up_ends_the_fetch_and_the_next_one_goes_on(
    bucket: Bucket, small_disk: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    dest = small_disk / "dest"
    for index in range(6):
        bucket.put(name(index), scene(index, 2**20))
    ballast = small_disk / "ballast"

    def fill_up(request: Request) -> None:
        if request.is_download and not ballast.exists():
            ballast.write_bytes(bytes(6 * 2**20))

    bucket.proxy.fault = fill_up
    assert bucket.fetch(dest) == 4
    said = capsys.readouterr().out
    assert "no space left" in said
    here = [index for index in range(6) if (dest / name(index)).exists()]
    assert len(here) < 6
    assert all((dest / name(index)).read_bytes() == scene(index, 2**20) for index in here)
    for index in set(range(6)) - set(here):
        assert f"failed: {name(index)}" in said
    ballast.unlink()
    bucket.proxy.fault = lambda request: None
    assert bucket.fetch(dest) == 0
    assert len(manifest(dest)) == 6


def test_memory_stays_bounded_and_large_files_come_in_several_ranges(
    hostile: TinyS3, tmp_path: Path
) -> None:
    large = scene(0, 64 * 2**20)
    hostile.put(f"{PREFIX}/{name(0)}", scene(0))
    small_peak = peak_bytes(hostile, tmp_path / "small")
    hostile.put(f"{PREFIX}/{name(0)}", large)
    hostile.targets.clear()
    # 16 workers hold a block of 256 KiB each; a segment of 16 MiB in memory would be too much.
    assert peak_bytes(hostile, tmp_path / "large") < small_peak + 14 * 2**20
    assert sum(name(0) in target for target in hostile.targets) == 5
    assert etag((tmp_path / "large" / name(0)).read_bytes()) == etag(large)


def peak_bytes(server: TinyS3, dest: Path) -> int:
    """Peak resident set of a process that fetches."""
    # A wrapper, since a process inherits the peak of the one that started it.
    measured = (
        "import resource, subprocess, sys\n"
        "code = subprocess.call([sys.executable, '-c', *sys.argv[1:]])\n"
        "print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)\n"
        "sys.exit(code)"
    )
    done = subprocess.run(
        [sys.executable, "-c", measured, COMMAND, server.endpoint, "sciml-datasets", dest, "16"],
        env={"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=True,
    )
    return int(done.stdout.splitlines()[-1]) * 1024
