"""Real runs of one node with faults, and the count of what they left behind."""

from __future__ import annotations

import os
import subprocess
import sys
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from tests.cluster.namespaces import two_nodes  # noqa: F401
from tests.faults.disks import small_disk
from tests.faults.faulty_run import TOKEN, FaultyRun, Tally
from tests.paths import ROOT
from tests.runs import narrow

Start = Callable[..., FaultyRun]


@pytest.fixture(scope="session")
def tally() -> Tally:
    """One tally for the whole session."""
    return Tally()


@pytest.fixture
def start(two_scenes: Path, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Start]:
    """A function that starts a run of a narrow network with these faults and flags."""
    started: list[FaultyRun] = []

    def start_run(
        *flags: object,
        faults: Sequence[dict[str, Any]] = (),
        ranks: int = 1,
        checkpoints: Path = tmp_path / "logs",
    ) -> FaultyRun:
        token = uuid.uuid4().hex
        process = subprocess.Popen(
            [
                *(sys.executable, "-m", "cloudmask", "train"),
                *("--datadir", two_scenes, "--logdir", tmp_path / "logs"),
                *("--processes-per-node", str(ranks), "--batch-size", str(4 // ranks)),
                *("--recipe=reference", "--workers=1", "--no-clear-caches"),
                *("--checkpoint-folder", checkpoints, *map(str, flags)),
            ],
            cwd=ROOT,
            env={**os.environ, **narrow(*faults, TMPDIR=str(tmp_path)), TOKEN: token},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        run = FaultyRun(request.node.name, process, token, tmp_path / "logs", checkpoints)
        started.append(run)
        return run

    yield start_run
    for run in started:
        run.kill()


@pytest.fixture
def mount_disk() -> Iterator[Callable[[Path, str], Path]]:
    """A function that mounts a disk of so many bytes (96k, 2m) at a new folder."""
    with ExitStack() as disks:
        yield lambda folder, size: disks.enter_context(small_disk(folder, size))
