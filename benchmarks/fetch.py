"""Compare `fetch` with `aws s3 sync --no-sign-request`: same server, same objects, alternating.

    python benchmarks/fetch.py AWS_EXECUTABLE [--repeats 3]

A moto server on loopback, in a process of its own, holds two data sets: 64 scenes of 16 MiB and
2,000 of 64 KiB. Each is a valid scene whose grids are not allocated, padded with random bytes in a
data set that nothing reads, so `fetch` does all its work, checks included. Every transfer is a new
process that writes to an empty folder on the same disk. Times are wall times including the start
of the interpreter; memory is the peak resident set of the process; ratios are taken per pair of
consecutive runs.

The server is a Python process that uses one core: with small objects both tools mostly wait for
it, and on few cores all three processes compete for them.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import re
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import boto3
import h5py
import numpy as np
from botocore.config import Config

from cloudmask.scenes.slstr import CHANNELS, COLUMNS, REFLECTANCES, ROWS

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "benchmarks" / "results" / "fetch.json"
BUCKET = "sciml-datasets"
PREFIX = "en/cloud_slstr_ds1"
MIB = 2**20
POLL_S = 0.02
FETCH_CODE = (
    "import sys; from pathlib import Path; "
    "from cloudmask.fetch.command import FetchOptions, fetch; "
    "sys.exit(fetch(FetchOptions('ds1', Path(sys.argv[2]), endpoint=sys.argv[1])))"
)


@dataclass(frozen=True)
class Workload:
    """Objects of one size."""

    name: str
    count: int
    size: int


@dataclass(frozen=True)
class Run:
    """One transfer by one tool."""

    seconds: float
    checked_seconds: float
    """With MD5 and SHA-256 of every file: part of `fetch`, added for aws."""
    peak_mib: float


WORKLOADS = (
    Workload("64 x 16 MiB", 64, 16 * MIB),
    Workload("2000 x 64 KiB", 2000, 64 * 1024),
)


def main() -> None:
    """Measure, print a table, write the JSON."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("aws", type=Path, help="the aws executable to compare with")
    parser.add_argument("--repeats", type=int, default=3, help="pairs of transfers per workload")
    arguments = parser.parse_args()
    results = {}
    for workload in WORKLOADS:
        with tempfile.TemporaryDirectory(prefix="fetch-benchmark-") as scratch:
            pairs = measure(workload, arguments.aws, arguments.repeats, Path(scratch))
        results[workload.name] = summarise(pairs)
    RESULTS.parent.mkdir(exist_ok=True)
    document = {"machine": machine(arguments.aws), "workloads": results}
    RESULTS.write_text(json.dumps(document, indent=1) + "\n")
    print(table(results))


def measure(workload: Workload, aws: Path, repeats: int, scratch: Path) -> list[tuple[Run, Run]]:
    """Pairs of consecutive runs (fetch, aws)."""
    home = scratch / "home"
    home.mkdir()
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(home),
        "PYTHONPATH": str(ROOT),
        "AWS_DEFAULT_REGION": "us-east-1",
    }
    pairs = []
    with server(scratch) as endpoint:
        upload(endpoint, workload, scratch)
        for index in range(repeats):
            fetch = [sys.executable, "-c", FETCH_CODE, endpoint]
            sync = [str(aws), "s3", "sync", "--no-sign-request", "--only-show-errors"]
            sync += ["--endpoint-url", endpoint, f"s3://{BUCKET}/{PREFIX}"]
            # The first of a pair runs on a cooler machine, so the order alternates.
            order = [fetch, sync] if index % 2 == 0 else [sync, fetch]
            runs = [transfer(command, workload, scratch / "dest", environment) for command in order]
            pairs.append((runs[0], runs[1]) if index % 2 == 0 else (runs[1], runs[0]))
    return pairs


def transfer(
    command: list[str], workload: Workload, dest: Path, environment: dict[str, str]
) -> Run:
    """Run a command with an empty folder as its last argument, and check the files it wrote."""
    os.sync()
    start = time.perf_counter()
    process = subprocess.Popen(
        [*command, str(dest)], env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
    )
    peak = 0
    while process.poll() is None:
        peak = max(peak, peak_bytes(process.pid))
        time.sleep(POLL_S)
    seconds = time.perf_counter() - start
    errors = process.communicate()[1].decode(errors="replace")
    sizes = [path.stat().st_size for path in (dest / "training").glob("*.hdf")]
    if process.returncode != 0 or sizes != [workload.size] * workload.count:
        sys.exit(f"{command[0]} failed ({process.returncode}, {len(sizes)} files): {errors}")
    checking = time.perf_counter()
    if command[0] != sys.executable:
        checksums(dest)
    checking = time.perf_counter() - checking
    shutil.rmtree(dest)
    return Run(seconds, seconds + checking, peak / MIB)


def checksums(dest: Path) -> None:
    """MD5 and SHA-256 of every file, on all cores: `fetch` computes them, aws does not."""
    hashing = ["xargs", "-0", "-n", "64", "-P", str(os.cpu_count()), "sh", "-c"]
    script = 'md5sum "$@" && sha256sum "$@"'
    paths = b"\0".join(bytes(path) for path in dest.rglob("*.hdf"))
    subprocess.run([*hashing, script, "sh"], input=paths, stdout=subprocess.DEVNULL, check=True)


def peak_bytes(process: int) -> int:
    """Peak resident set of a process; 0 if it has ended."""
    try:
        status = Path(f"/proc/{process}/status").read_text()
    except OSError:
        return 0
    found = re.search(r"VmHWM:\s+(\d+) kB", status)
    return int(found[1]) * 1024 if found else 0


@contextmanager
def server(scratch: Path) -> Iterator[str]:
    """Start a moto server in its own process; yields its endpoint."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
    with (scratch / "server.log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log)
    try:
        deadline = time.monotonic() + 60
        while True:
            try:
                socket.create_connection(("127.0.0.1", port), timeout=1).close()
                break
            except OSError:
                if process.poll() is not None or time.monotonic() > deadline:
                    sys.exit("the moto server did not start: pip install 'moto[server]'")
                time.sleep(0.1)
        yield f"http://127.0.0.1:{port}"
    finally:
        process.kill()
        process.wait()


def upload(endpoint: str, workload: Workload, scratch: Path) -> None:
    """Put the workload's scenes into the bucket, each with other random bytes."""
    client = boto3.client(
        "s3",
        endpoint_url=endpoint,
        region_name="us-east-1",
        aws_access_key_id="test",
        aws_secret_access_key="test",
        config=Config(proxies={}, s3={"addressing_style": "path"}),
    )
    client.create_bucket(Bucket=BUCKET)
    path = scratch / "scene.hdf"
    content = bytearray(scene_of(workload.size, path))
    position = content.index(b"\xa5" * 1024)
    room = len(content) - position - content[::-1].index(b"\xa5" * 1024)
    generator = np.random.default_rng(1234)
    bodies = []
    for index in range(workload.count):
        content[position : position + room] = generator.bytes(room)
        key = f"{PREFIX}/training/S3A_SL_1_RBT____20190101T{index:06d}.hdf"
        bodies.append((key, bytes(content)))

    def put(item: tuple[str, bytes]) -> None:
        client.put_object(Bucket=BUCKET, Key=item[0], Body=item[1], ACL="public-read")

    with ThreadPoolExecutor(4) as threads:
        list(threads.map(put, bodies))


def scene_of(size: int, path: Path) -> bytes:
    """A valid scene of exactly `size` bytes, padded with 0xA5."""
    padding = size
    for _ in range(2):  # The first file shows the size of the format itself.
        with h5py.File(path, "w", locking=False) as file:
            grid = (ROWS, COLUMNS)
            for name, depth in (("refs", REFLECTANCES), ("bts", CHANNELS - REFLECTANCES)):
                file.create_dataset(name, (*grid, depth), "f4", chunks=(ROWS, COLUMNS, 1))
            file.create_dataset("bayes", (*grid, 1), "u1", chunks=(ROWS, COLUMNS, 1))
            file["padding"] = np.full(padding, 0xA5, np.uint8)
        padding -= path.stat().st_size - size
    content = path.read_bytes()
    assert len(content) == size, "the HDF5 file has another size than computed"
    return content


def summarise(pairs: list[tuple[Run, Run]]) -> dict[str, Any]:
    """All runs, and the ratios of the pairs: median, lowest, highest."""
    return {
        "fetch": [asdict(fetch) for fetch, _ in pairs],
        "aws_s3_sync": [asdict(sync) for _, sync in pairs],
        "time_ratio": spread([fetch.seconds / sync.seconds for fetch, sync in pairs]),
        "time_ratio_with_checksums": spread(
            [fetch.checked_seconds / sync.checked_seconds for fetch, sync in pairs]
        ),
        "memory_ratio": spread([fetch.peak_mib / sync.peak_mib for fetch, sync in pairs]),
    }


def spread(values: list[float]) -> list[float]:
    """Median, lowest and highest."""
    return [round(value, 3) for value in (statistics.median(values), min(values), max(values))]


def table(results: dict[str, dict[str, Any]]) -> str:
    """A table of the medians; a ratio below 1 means that `fetch` is better."""
    head = ("objects", "fetch s", "aws s", "ratio", "ratio*", "fetch MiB", "aws MiB")
    lines = ["{:14} {:>8} {:>8} {:>18} {:>18} {:>10} {:>8}".format(*head)]
    for name, result in results.items():
        medians = [
            statistics.median(run[field] for run in result[tool])
            for field in ("seconds", "peak_mib")
            for tool in ("fetch", "aws_s3_sync")
        ]
        ratios = [
            "{:.2f} ({:.2f}-{:.2f})".format(*result[ratio])
            for ratio in ("time_ratio", "time_ratio_with_checksums")
        ]
        lines.append(
            f"{name:14} {medians[0]:8.2f} {medians[1]:8.2f} {ratios[0]:>18} {ratios[1]:>18} "
            f"{medians[2]:10.0f} {medians[3]:8.0f}"
        )
    return "\n".join([*lines, "* aws followed by md5sum and sha256sum of all files, on all cores"])


def machine(aws: Path) -> dict[str, Any]:
    """Hardware, load and versions of this machine."""
    printed = subprocess.run([str(aws), "--version"], capture_output=True, text=True, check=True)
    return {
        "processors": os.cpu_count(),
        "load_average_at_the_end": os.getloadavg()[0],
        "architecture": platform.machine(),
        "python": platform.python_version(),
        "aws": (printed.stdout or printed.stderr).split()[0],
        "versions": {name: version(name) for name in ("boto3", "h5py", "moto")},
    }


if __name__ == "__main__":
    main()
