"""Runs in processes of their own, with the whole network or a narrow one, and with faults."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from cloudmask.mlperf.log.lines import read_lines
from tests.paths import ROOT

IN_RANKS = ROOT / "tests" / "in_ranks"
# Flags of a run that goes on until it is stopped.
ENDLESS = (
    *("--target-accuracy=1", "--epochs=1000"),
    *("--learning-rate=1e-9", "--kernel-learning-rate=1e-9"),
)


def train(*flags: object, **variables: str) -> subprocess.CompletedProcess[str]:
    """`cloudmask train` in a process of its own, with variables such as `narrow()`."""
    return subprocess.run(
        [sys.executable, "-m", "cloudmask", "train", "--device=cpu", *map(str, flags)],
        cwd=ROOT,
        env={**os.environ, **variables},
        capture_output=True,
        text=True,
        timeout=300,
    )


def values_of(log: Path, key: str) -> list[object]:
    """Every value that a log gives for a key."""
    return [record["value"] for record in records_of(log) if record["key"] == key]


def epochs_of_checkpoints(log: Path) -> list[int]:
    """The epochs of the checkpoints that a log names."""
    found = [re.search(r"_epoch_(\d+)", str(name)) for name in values_of(log, "checkpoint")]
    return [int(epoch[1]) for epoch in found if epoch]


def narrow(
    *faults: dict[str, Any], widths: Sequence[int] = (2, 2, 2, 2), **variables: str
) -> dict[str, str]:
    """Environment variables of a run whose ranks train a narrow network, and have these faults.

    They go on top of the inherited environment of whatever starts the run: `train(**narrow())`,
    `run_and_time.sh`, `sbatch run.sub`. A container needs the folder `IN_RANKS` mounted, its
    place there as PYTHONPATH, and the variable IN_RANKS:
    `DOCKER_FLAGS=f"--volume={IN_RANKS}:/in_ranks:ro --env=PYTHONPATH=/in_ranks --env=IN_RANKS"`.

    A whole run of two epochs takes seconds, of which most go into the import of torch.
    """
    inherited = os.environ.get("PYTHONPATH")
    return {
        "PYTHONPATH": f"{IN_RANKS}{os.pathsep}{inherited}" if inherited else str(IN_RANKS),
        "IN_RANKS": json.dumps({"widths": list(widths), "faults": faults}),
        **variables,
    }


def narrow_to_target(*faults: dict[str, Any], **variables: str) -> dict[str, str]:
    """`narrow()`, with parameters that reach the target in an epoch or two of `two_scenes`."""
    return narrow(
        *faults,
        widths=(4, 4, 4, 4),
        **{
            "CLOUDMASK_BATCH_SIZE": "1",
            "CLOUDMASK_WARMUP_STEPS": "0",
            "CLOUDMASK_LEARNING_RATE": "0.002",
            "CLOUDMASK_WEIGHT_AVERAGING": "0.8",
            **variables,
        },
    )


def fault(
    *,
    rank: int = 0,
    phase: str = "",
    step: int = 0,
    fsync: str = "",
    worker_scene: int = 0,
    signal: int = 0,
    to: str = "self",
    code: str = "",
    restarts: Sequence[int] = (0,),
) -> dict[str, Any]:
    """A fault that a rank does to itself, or to its supervisor, once and at an exact moment.

    The moment is one of three, and the rank goes no further from there, except after `code`:

    Args:
        rank: the rank in which it happens.
        phase: when the rank enters this phase of the run: "start" (its headers), "staging",
            "epoch 1", "evaluation 1", "inference".
        step: with `phase`, when the rank has made so many steps of it, or more at once: batches of
            an epoch, patches of an evaluation, scenes.
        fsync: when a file whose name matches is about to be synced: "checkpoint_*".
        worker_scene: when a staging worker of the rank opens its n-th scene, from 1.
        signal: the signal that is sent; without it and without `code`, the rank stalls.
        to: who gets the signal: "self" (the rank, or its worker), "supervisor", or "script", the
            parent of the supervisor.
        code: Python code that is run instead of a signal.
        restarts: at which starts of the run it happens: 0 is the first one.
    """
    return {
        "rank": rank,
        "phase": phase,
        "step": step,
        "fsync": fsync,
        "worker_scene": worker_scene,
        "signal": int(signal),
        "to": to,
        "code": code,
        "restarts": list(restarts),
    }


def records_of(log: Path) -> list[dict[str, Any]]:
    """The events of a log."""
    return [line.record for line in read_lines(log) if line.record is not None]


def reason_of(log: Path) -> str:
    """Why a run was aborted, after its log."""
    (stop,) = (record for record in records_of(log) if record["key"] == "run_stop")
    assert stop["metadata"]["status"] == "aborted"
    reason: str = stop["metadata"]["reason"]
    return reason
