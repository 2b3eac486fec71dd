"""Compare `fetch` with `aws s3 sync` and `s5cmd sync`: same server, same objects, in turn.

    python -m benchmarks.fetch --aws /path/to/aws --s5cmd /path/to/s5cmd [--repeats 5]
    python -m benchmarks.fetch --workers 2 4 8 16 32      # `fetch` alone, by number of workers

`benchmarks.static_s3` serves scenes on loopback: 64 of 16 MiB, 2,000 of 64 KiB, 12 of 170 MB. Each
is valid, with grids that are not allocated, padded with random bytes in a data set that nothing
reads. Every transfer is a new process that writes to an empty folder of the same disk. Times
include the start of the process; `sync` before each leaves no earlier writes to be waited for.
Memory is the peak resident set, at least that of this process, since Linux counts from its fork on.
Ratios are taken within a round.

`fetch` does what the others leave out: it waits until each file is on disk, computes MD5 and
SHA-256, and opens each scene. After the others the same is done by sync(1), md5sum and sha256sum,
and a Python process on each core, and its time is counted separately.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from benchmarks.static_s3 import BUCKET, PREFIX
from cloudmask.machine.system.cgroups import usable_cores
from cloudmask.scenes.slstr import CHANNELS, COLUMNS, REFLECTANCES, ROWS

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "benchmarks" / "results"
MIB = 2**20
PART_BYTES = 8 * MIB  # that of `aws s3 cp`
INSPECT = (
    "import sys; from pathlib import Path; from cloudmask.scenes.hdf5_scene import inspect_scene; "
    "[inspect_scene(Path(name)) for name in sys.argv[1:]]"
)


@dataclass(frozen=True)
class Workload:
    """Objects of one size."""

    name: str
    count: int
    size: int


@dataclass(frozen=True)
class Run:
    """One transfer by one tool; times are wall times unless their name says otherwise."""

    seconds: float
    processor_seconds: float
    server_processor_seconds: float
    peak_mib: float
    disk_seconds: float = 0.0
    """Until the files are on disk, after the process has ended."""
    checksum_seconds: float = 0.0
    scene_seconds: float = 0.0

    @property
    def checked_seconds(self) -> float:
        """With all that `fetch` does."""
        return self.seconds + self.disk_seconds + self.checksum_seconds + self.scene_seconds


WORKLOADS = (
    Workload("64 x 16 MiB", 64, 16 * MIB),
    Workload("2000 x 64 KiB", 2000, 64 * 1024),
    Workload("12 x 170 MB", 12, 170 * 10**6),
)


def main() -> None:
    """Measure, print a table, write the JSON."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--aws", type=Path, help="the aws executable to compare with")
    parser.add_argument("--s5cmd", type=Path, help="the s5cmd executable to compare with")
    parser.add_argument("--workers", type=int, nargs="+", help="numbers of workers to compare")
    parser.add_argument("--repeats", type=int, default=5, help="rounds of each workload")
    parser.add_argument("--only", choices=[workload.name for workload in WORKLOADS])
    arguments = parser.parse_args()
    tools = _tools(arguments.aws, arguments.s5cmd, arguments.workers)
    name = "fetch_workers.json" if arguments.workers else "fetch.json"
    for workload in WORKLOADS:
        if arguments.only in (None, workload.name):
            with tempfile.TemporaryDirectory(prefix="fetch-benchmark-") as scratch:
                runs = measure(workload, tools, arguments.repeats, Path(scratch))
            keep(RESULTS / name, workload.name, runs)
            print(table(workload.name, runs), flush=True)


def keep(path: Path, workload: str, runs: dict[str, list[Run]]) -> None:
    """Replace one workload's runs in a JSON file."""
    kept = json.loads(path.read_text()) if path.exists() else {}
    figures = {tool: [asdict(run) for run in mine] for tool, mine in runs.items()}
    kept[workload] = {"machine": machine(), "runs": figures}
    path.write_text(json.dumps(kept, indent=1) + "\n")


def _tools(
    aws: Path | None, s5cmd: Path | None, workers: Sequence[int] | None
) -> dict[str, list[str]]:
    """Commands by name; '{endpoint}' and '{dest}' are to be filled in."""
    fetch = [sys.executable, "-m", "cloudmask", "fetch", "ds1", "--endpoint", "{endpoint}"]
    fetch += ["--dest", "{dest}"]
    if workers:
        return {f"{count} workers": [*fetch, "--workers", str(count)] for count in workers}
    tools = {"fetch": fetch}
    source = f"s3://{BUCKET}/{PREFIX}"
    if aws is not None:
        options = ["--no-sign-request", "--only-show-errors", "--endpoint-url", "{endpoint}"]
        tools["aws"] = [str(aws), "s3", "sync", *options, source, "{dest}"]
    if s5cmd is not None:
        options = ["--no-sign-request", "--log", "error", "--endpoint-url", "{endpoint}"]
        tools["s5cmd"] = [str(s5cmd), *options, "sync", f"{source}/*", "{dest}/"]
    return tools


def measure(
    workload: Workload, tools: dict[str, list[str]], repeats: int, scratch: Path
) -> dict[str, list[Run]]:
    """Runs of each tool; a round has one of each, and rounds start with another tool."""
    scene = scratch / "scene.hdf"
    scene.write_bytes(scene_of(workload.size, scene))
    runs: dict[str, list[Run]] = {name: [] for name in tools}
    names = list(tools)
    with server(scene, workload.count) as (endpoint, process):
        for index in range(repeats):
            first = index % len(names)
            for name in names[first:] + names[:first]:
                dest = scratch / "dest"
                command = [part.format(endpoint=endpoint, dest=dest) for part in tools[name]]
                is_checked = command[0] == sys.executable
                runs[name].append(transfer(command, workload, dest, process, is_checked))
                shutil.rmtree(dest)
    return runs


def transfer(
    command: list[str], workload: Workload, dest: Path, server_process: int, is_checked: bool
) -> Run:
    """Run a command that fills `dest`; do afterwards what it has left out."""
    environment = {"PATH": os.environ["PATH"], "HOME": str(dest.parent), "PYTHONPATH": str(ROOT)}
    environment["AWS_DEFAULT_REGION"] = "us-east-1"
    os.sync()
    served = processor_seconds(server_process)
    start = time.perf_counter()
    with (dest.parent / "errors").open("wb+") as errors:
        process = subprocess.Popen(
            command, env=environment, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=errors
        )
        _, status, usage = os.wait4(process.pid, 0)
        seconds = time.perf_counter() - start
        process.returncode = os.waitstatus_to_exitcode(status)
        errors.seek(0)
        text = errors.read().decode(errors="replace")
    served = processor_seconds(server_process) - served
    paths = sorted((dest / "training").glob("*.hdf"))
    sizes = [path.stat().st_size for path in paths]
    if process.returncode != 0 or sizes != [workload.size] * workload.count:
        sys.exit(f"{command[0]} failed ({process.returncode}, {len(sizes)} files): {text}")
    left_out = [0.0, 0.0, 0.0]
    if not is_checked:
        sums = ["sh", "-c", 'md5sum "$@" && sha256sum "$@"', "sh"]
        left_out = [
            on_all_cores(["sync", "--file-system"], paths[:1], environment),
            on_all_cores(sums, paths, environment),
            on_all_cores([sys.executable, "-c", INSPECT], paths, environment),
        ]
    peak_mib = usage.ru_maxrss / 1024
    return Run(seconds, usage.ru_utime + usage.ru_stime, served, peak_mib, *left_out)


def on_all_cores(command: list[str], paths: list[Path], environment: dict[str, str]) -> float:
    """Seconds of a command that is given the paths, in one process for each core."""
    cores = usable_cores()
    start = time.perf_counter()
    processes = [
        subprocess.Popen([*command, *map(str, share)], env=environment, stdout=subprocess.DEVNULL)
        for share in (paths[core::cores] for core in range(cores))
        if share
    ]
    if max(process.wait() for process in processes) != 0:
        sys.exit(f"{command[0]} failed")
    return time.perf_counter() - start


def processor_seconds(process: int) -> float:
    """Processor time that a process has used so far, by all its threads."""
    fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@contextmanager
def server(scene: Path, count: int) -> Iterator[tuple[str, int]]:
    """A server of `count` copies of a scene: its endpoint and process id."""
    command = [sys.executable, "-m", "benchmarks.static_s3", str(scene), str(count)]
    process = subprocess.Popen(
        [*command, str(PART_BYTES)], cwd=ROOT, stdout=subprocess.PIPE, text=True
    )
    try:
        assert process.stdout is not None, "stdout is a pipe"
        yield f"http://127.0.0.1:{int(process.stdout.readline())}", process.pid
    finally:
        process.kill()
        process.wait()


def scene_of(size: int, path: Path) -> bytes:
    """A valid scene of exactly `size` bytes, padded with random bytes."""
    padding = size
    for _ in range(2):  # The first file shows the size of the format itself.
        with h5py.File(path, "w", locking=False) as file:
            grid = (ROWS, COLUMNS)
            for name, depth in (("refs", REFLECTANCES), ("bts", CHANNELS - REFLECTANCES)):
                file.create_dataset(name, (*grid, depth), "f4", chunks=(ROWS, COLUMNS, 1))
            file.create_dataset("bayes", (*grid, 1), "u1", chunks=(ROWS, COLUMNS, 1))
            generator = np.random.default_rng(1234)
            file["padding"] = np.frombuffer(generator.bytes(padding), np.uint8)
        padding -= path.stat().st_size - size
    content = path.read_bytes()
    assert len(content) == size, "the HDF5 file has another size than computed"
    return content


def spread(values: Sequence[float]) -> str:
    """Median and range."""
    return f"{statistics.median(values):.2f} ({min(values):.2f} to {max(values):.2f})"


def table(name: str, runs: dict[str, list[Run]]) -> str:
    """Medians of each tool, and the ratios of `fetch`, or of the first tool, to it."""
    lines = [
        f"{name}:",
        "| tool | s | processor s, server | MiB | disk, checksums, scenes s | ratio | checked |",
    ]
    first = next(iter(runs.values()))
    for tool, mine in runs.items():

        def median(field: str, mine: list[Run] = mine) -> float:
            return statistics.median(getattr(run, field) for run in mine)

        pairs = list(zip(first, mine, strict=True))
        left_out = ("disk_seconds", "checksum_seconds", "scene_seconds")
        cells = [
            tool,
            spread([run.seconds for run in mine]),
            f"{median('processor_seconds'):.2f}, {median('server_processor_seconds'):.2f}",
            f"{max(run.peak_mib for run in mine):.0f}",
            ", ".join(f"{median(field):.2f}" for field in left_out),
            spread([ours.seconds / other.seconds for ours, other in pairs]),
            spread([ours.checked_seconds / other.checked_seconds for ours, other in pairs]),
        ]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def machine() -> dict[str, Any]:
    """Hardware, load and versions of this machine."""
    return {
        "processors": os.cpu_count(),
        "load_average_at_the_end": os.getloadavg()[0],
        "architecture": platform.machine(),
        "python": platform.python_version(),
        "versions": {name: version(name) for name in ("boto3", "h5py")},
    }


if __name__ == "__main__":
    main()
