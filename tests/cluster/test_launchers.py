"""`train` under real launchers that start a process per rank: torchrun, and as mpirun does it."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from cloudmask.mlperf.check.command import check
from tests.cluster.small_run import SMALL_RUN
from tests.distributed.ports import reserved_port
from tests.paths import ROOT
from tests.runs import ENDLESS, fault, narrow, reason_of, values_of

pytestmark = pytest.mark.slow
TRAIN = ("-m", "cloudmask", "train", "--device=cpu")
TORCHRUN = (sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2")


def flags(data: Path, logs: Path) -> list[str]:
    return [f"--datadir={data}", f"--logdir={logs}", "--workers=1", "--no-clear-caches"]


def torchrun(*arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """Two ranks on this node under torchrun."""
    return subprocess.run(
        [*TORCHRUN, *TRAIN, *arguments],
        cwd=ROOT,
        env={**os.environ, **variables},
        capture_output=True,
        text=True,
        timeout=300,
    )


def errors(text: str) -> list[str]:
    """What the program says in the output of a launcher, which says more."""
    return re.findall("^cloudmask train: error: (.*)$", text, re.MULTILINE)


def assert_trained_by_two_ranks(log: Path) -> None:
    assert check(log).accepted
    assert values_of(log, "number_of_nodes") == [1]
    assert values_of(log, "global_batch_size") == [2]
    assert values_of(log, "fault") == []


def test_torchrun_trains_to_the_target(two_scenes, tmp_path):
    done = torchrun(*flags(two_scenes, tmp_path), **SMALL_RUN)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("run success") == 1
    (log,) = tmp_path.glob("result_*.txt")
    assert_trained_by_two_ranks(log)


def test_processes_of_mpirun_train_to_the_target(two_scenes, tmp_path):
    with reserved_port() as port:
        ranks = [
            subprocess.Popen(
                [sys.executable, *TRAIN, *flags(two_scenes, tmp_path)],
                cwd=ROOT,
                env={
                    **os.environ,
                    **SMALL_RUN,
                    **{f"OMPI_COMM_WORLD_{name}": "2" for name in ("SIZE", "LOCAL_SIZE")},
                    **{f"OMPI_COMM_WORLD_{name}": str(rank) for name in ("RANK", "LOCAL_RANK")},
                    "MASTER_PORT": str(port),
                },
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
            )
            for rank in (1, 0)
        ]
        outputs = [rank.communicate(timeout=300) for rank in ranks]
    assert [rank.returncode for rank in ranks] == [0, 0], outputs
    assert outputs[0] == ("", "")
    assert_trained_by_two_ranks(tmp_path / "result_0.txt")


def test_bad_input_on_one_rank_is_printed_once_and_in_the_log(two_scenes, tmp_path):
    failure = "from cloudmask.errors import InputError; raise InputError('a bad scene')"
    done = torchrun(
        *flags(two_scenes, tmp_path), **narrow(fault(rank=1, phase="staging", code=failure))
    )
    assert done.returncode != 0
    assert errors(done.stderr) == ["rank 1 in staging: a bad scene"]
    assert values_of(tmp_path / "result_0.txt", "fault") == ["rank 1 in staging: a bad scene"]


def test_bad_input_on_every_rank_is_printed_once(tmp_path):
    done = torchrun(f"--datadir={tmp_path / 'nowhere'}")
    (error,) = errors(done.stderr)
    assert "nowhere" in error


def test_a_killed_rank_is_named_in_the_log_of_another(two_scenes, tmp_path):
    kill = fault(rank=1, phase="epoch 2", step=1, signal=signal.SIGKILL)
    done = torchrun(*flags(two_scenes, tmp_path), *ENDLESS, **narrow(kill))
    assert done.returncode != 0
    log = tmp_path / "result_0.txt"
    assert errors(done.stderr) == ["rank 1 in epoch 2 was killed by SIGKILL"]
    assert reason_of(log) == "rank 1 in epoch 2 was killed by SIGKILL"


def test_a_stalled_rank_is_named_and_not_the_one_that_waits_for_it(two_scenes, tmp_path):
    done = torchrun(
        *flags(two_scenes, tmp_path),
        *ENDLESS,
        "--fault-timeout=5",
        **narrow(fault(rank=1, phase="epoch 2", step=1)),
    )
    assert done.returncode != 0
    log = tmp_path / "result_0.txt"
    assert errors(done.stderr) == ["rank 1 in epoch 2 made no progress for 10 s"]
    assert reason_of(log) == "rank 1 in epoch 2 made no progress for 10 s"
