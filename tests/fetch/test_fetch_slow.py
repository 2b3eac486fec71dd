"""Killed at random, out of disk, short of memory: whole runs of the real thing."""

import random
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from cloudmask.fetch.partial_file import BLOCK_BYTES
from tests.fetch.faulty_proxy import Fault
from tests.fetch.scene_bucket import (
    COMMAND,
    PREFIX,
    ROOT,
    Bucket,
    files_below,
    manifest,
    name,
    scene,
)
from tests.fetch.tiny_s3 import TinyS3, etag

pytestmark = pytest.mark.slow


def test_killed_twenty_times_at_random_it_resumes_and_loses_next_to_nothing(
    bucket: Bucket, tmp_path: Path
) -> None:
    chance = random.Random(1234)
    count, padding, workers = 10, 8 * BLOCK_BYTES, 3
    for index in range(count):
        bucket.put(name(index), scene(index, padding))
    contents = [scene(index, padding) for index in range(count)]
    bucket.proxy.fault = lambda request: Fault("slow", seconds=0.03)
    killed = 0
    while killed < 20:
        process = bucket.start(tmp_path, workers)
        begun = len(bucket.proxy.downloads)
        while process.poll() is None and len(bucket.proxy.downloads) == begun:
            time.sleep(0.01)
        time.sleep(chance.uniform(0.0, 1.5))
        finished = process.poll()
        process.kill()
        said, _ = process.communicate()
        assert finished is None, f"it ended by itself after {killed} rounds: {said}"
        killed += 1
        for index in range(count):
            path = tmp_path / name(index)
            assert not path.exists() or path.read_bytes() == contents[index]
        if (tmp_path / "manifest.json").exists():
            assert set(manifest(tmp_path)) <= files_below(tmp_path)
    bucket.proxy.fault = lambda request: None
    assert bucket.fetch(tmp_path) == 0
    assert [(tmp_path / name(index)).read_bytes() for index in range(count)] == contents
    assert files_below(tmp_path) == {"manifest.json", *(name(index) for index in range(count))}
    # Each kill costs what was in flight: a block for each worker, and what the sockets held.
    in_flight = 2 * workers * BLOCK_BYTES
    assert bucket.proxy.body_bytes < sum(map(len, contents)) + killed * in_flight


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 8 MiB."""
    place = tmp_path / "disk"
    place.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", str(place)]
    try:
        mounted = subprocess.run(command, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        pytest.skip("there is no mount command")
    if mounted.returncode != 0:
        pytest.skip(f"cannot mount a tmpfs: {mounted.stderr.strip()}")
    yield place
    subprocess.run(["umount", "-l", str(place)], check=True)


def test_a_disk_that_fills_up_ends_the_fetch_and_the_next_one_goes_on(
    bucket: Bucket, small_disk: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    dest = small_disk / "dest"
    for index in range(6):
        bucket.put(name(index), scene(index, 2**20))
    ballast = small_disk / "ballast"
    bucket.proxy.fault = lambda request: Fault("slow", seconds=0.005)

    def fill_up() -> None:
        while not (dest / "training").exists():
            time.sleep(0.01)
        ballast.write_bytes(bytes(6 * 2**20))

    thread = threading.Thread(target=fill_up)
    thread.start()
    assert bucket.fetch(dest) == 4
    thread.join()
    said = capsys.readouterr().out
    assert "no space left" in said
    here = [index for index in range(6) if (dest / name(index)).exists()]
    assert len(here) < 6
    assert all((dest / name(index)).read_bytes() == scene(index, 2**20) for index in here)
    for index in set(range(6)) - set(here):
        assert f"failed: {name(index)}" in said
    ballast.unlink()
    assert bucket.fetch(dest) == 0
    assert len(manifest(dest)) == 6


def test_memory_stays_bounded_and_large_files_come_in_several_ranges(
    hostile: TinyS3, tmp_path: Path
) -> None:
    large = scene(0, 300 * 2**20)
    hostile.put(f"{PREFIX}/{name(0)}", large)
    command = [hostile.endpoint, "sciml-datasets", str(tmp_path / "dest"), "16"]
    # The child's own peak: a wrapper, since a child inherits the peak of who started it.
    measured = (
        "import resource, subprocess, sys\n"
        "code = subprocess.call([sys.executable, '-c', *sys.argv[1:]])\n"
        "print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)\n"
        "sys.exit(code)"
    )
    done = subprocess.run(
        [sys.executable, "-c", measured, COMMAND, *command],
        env={"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=True,
    )
    peak = int(done.stdout.splitlines()[-1]) * (1024 if sys.platform == "linux" else 1)
    assert peak < 250 * 10**6
    assert sum(name(0) in target for target in hostile.targets) == 19
    assert etag((tmp_path / "dest" / name(0)).read_bytes()) == etag(large)
