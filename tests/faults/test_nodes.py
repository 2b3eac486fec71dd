"""Two nodes, of which one is lost: killed, cut off, or stalled."""

from __future__ import annotations

import os
import signal
import subprocess
import uuid
from contextlib import suppress

import psutil
import pytest

from cloudmask.errors import EXIT_FAULT, EXIT_TARGET_MISSED
from cloudmask.mlperf.log.run_summary import read_summary
from tests.cluster.conftest import PATH, two_nodes  # noqa: F401
from tests.faults.conftest import FAULT_TIMEOUT, TOKEN, FaultyRun
from tests.runs import values_of

pytestmark = pytest.mark.slow


@pytest.fixture
def pair(two_nodes, two_scenes, tmp_path, request):  # noqa: F811
    """A run that has come to its first epoch on both nodes; flags can be given as parameter."""
    runs = []
    for node in (0, 1):
        token = uuid.uuid4().hex
        logs = tmp_path / str(node)
        process = two_nodes.start(
            node,
            *("--nodes=2", "--hosts", ",".join(two_nodes.addresses)),
            *("--datadir", two_scenes, "--logdir", logs, "--target-accuracy=1"),
            *("--recipe=reference", "--workers=1", f"--fault-timeout={FAULT_TIMEOUT}"),
            *getattr(request, "param", ()),
            **{TOKEN: token, "TMPDIR": str(tmp_path)},
        )
        runs.append(FaultyRun(f"{request.node.name}, node {node}", process, token, logs))
    runs[0].wait_for("epoch")
    for run in runs:
        run.remember()
    yield runs
    for run in runs:
        for process in run._all():
            if process.is_running():
                process.kill()
        run.process.wait()


def kill_node(run) -> None:
    """Everything of a node at once."""
    supervisor = psutil.Process(run.process.pid)
    processes = [supervisor, *supervisor.children(recursive=True)]
    for act in (psutil.Process.suspend, psutil.Process.kill):
        for process in processes:
            with suppress(psutil.NoSuchProcess):  # a staging worker, whose work was done
                act(process)


@pytest.mark.parametrize("lost", [0, 1])
def test_a_killed_node_ends_the_run_on_the_other(pair, tally, lost):
    kill_node(pair[lost])
    assert pair[lost].finish(tally) == -signal.SIGKILL
    survivor = pair[1 - lost]
    assert survivor.finish(tally) == EXIT_FAULT
    assert f"rank {1 - lost} in epoch" in survivor.error
    if lost == 1:
        assert read_summary(pair[0].log).status == "aborted"
        assert len(values_of(pair[0].log, "fault")) == 1


def test_a_cut_cable_ends_the_run_on_both_nodes(pair, two_nodes, tally):  # noqa: F811
    subprocess.run(
        ["ip", "-n", two_nodes.names[0], "link", "delete", "cable"],
        env={**os.environ, "PATH": PATH},
        check=True,
    )
    assert [run.finish(tally) for run in pair] == [EXIT_FAULT, EXIT_FAULT]
    assert read_summary(pair[0].log).status == "aborted"


def test_a_rank_that_stalls_on_one_node_ends_the_run_on_both(pair, tally):
    pair[1].strike(pair[1].rank(1), signal.SIGSTOP)
    assert [run.finish(tally) for run in pair] == [EXIT_FAULT, EXIT_FAULT]
    assert "rank 1 in epoch 1" in pair[1].error
    assert read_summary(pair[0].log).status == "aborted"


@pytest.mark.parametrize(
    "pair", [("--max-restarts=1", "--epochs=1", "--fault-timeout=60")], indirect=True
)
def test_nodes_restart_together(pair, tally):
    pair[1].strike(pair[1].rank(1), signal.SIGKILL)
    pair[0].wait_for("epoch", "result_1.txt")
    assert [run.finish(tally) for run in pair] == [EXIT_TARGET_MISSED, EXIT_TARGET_MISSED]
    assert "rank 1 in epoch 1 was killed by SIGKILL" in pair[1].error
    first, second = (pair[0].logs / f"result_{number}.txt" for number in (0, 1))
    assert len(values_of(first, "fault")) == 1
    assert values_of(second, "resumed") == [0]
    assert values_of(second, "fault") == []
