"""Two nodes, of which one is lost: killed, cut off, or with a suspended rank."""

from __future__ import annotations

import signal
import uuid

import pytest

from tests.faults.faulty_run import TOKEN, FaultyRun, stops
from tests.runs import fault, narrow, values_of

pytestmark = pytest.mark.slow


@pytest.fixture
def pair(two_nodes, two_scenes, tmp_path, request):
    """A function that starts a run with a fault on both nodes, one rank each."""
    runs = []

    def start_pair(failure, *flags):
        for node in (0, 1):
            token, logs = uuid.uuid4().hex, tmp_path / str(node)
            process = two_nodes.start(
                node,
                *("--nodes=2", "--batch-size=2"),
                *("--datadir", two_scenes, "--logdir", logs, "--target-accuracy=1"),
                *("--recipe=reference", "--workers=1", "--no-clear-caches", *flags),
                **narrow(failure, TMPDIR=str(tmp_path), OMP_NUM_THREADS="1"),
                **{TOKEN: token},
            )
            name = f"{request.node.name}, node {node}"
            runs.append(FaultyRun(name, process, token, logs, logs))
        return runs

    yield start_pair
    for run in runs:
        run.kill()


def reason_of(run) -> str:
    """The last line on standard error, behind a traceback if there is one."""
    return run.error.splitlines()[-1].removeprefix("cloudmask train: error: ")


@pytest.mark.parametrize("lost", [0, 1])
def test_a_killed_node_ends_the_run_on_the_other(pair, tally, lost):
    kill_node = (
        "import os, signal; os.kill(int(os.environ['SUPERVISOR_PID']), signal.SIGKILL);"
        "os.killpg(0, signal.SIGKILL)"
    )
    runs = pair(fault(rank=lost, phase="epoch 1", step=1, code=kill_node))
    assert runs[lost].finish(tally) == -9
    survivor = runs[1 - lost]
    assert survivor.finish(tally) == 5
    assert reason_of(survivor).startswith(
        f"rank {1 - lost} in epoch 1: the connection to another rank was lost ("
    )
    assert not runs[1].all_logs
    if lost == 1:
        reason = reason_of(survivor)
        assert stops(survivor.log) == [("aborted", reason)]
        assert values_of(survivor.log, "fault") == [reason]


@pytest.mark.parametrize(("phase", "step"), [("staging", 0), ("epoch 1", 1)])
def test_a_cut_cable_ends_the_run_on_both_nodes(pair, tally, phase, step):
    cut = "import subprocess; subprocess.run(['ip', 'link', 'delete', 'cable'], check=True)"
    runs = pair(fault(rank=0, phase=phase, step=step, code=cut), "--fault-timeout=5")
    assert [run.finish(tally) for run in runs] == [5, 5]
    for node, run in enumerate(runs):
        assert reason_of(run).startswith(f"rank {node} in {phase}: another rank did not answer (")
    assert stops(runs[0].log) == [("aborted", reason_of(runs[0]))]


def test_a_suspended_rank_on_one_node_ends_the_run_on_both(pair, tally):
    suspend = fault(rank=1, phase="epoch 1", step=1, signal=signal.SIGSTOP)
    runs = pair(suspend, "--fault-timeout=5")
    assert [run.finish(tally) for run in runs] == [5, 5]
    assert reason_of(runs[1]) == "rank 1 in epoch 1 was suspended for 5 s"
    assert runs[0].error == ""  # the other node has said it
    assert stops(runs[0].log) == [("aborted", reason_of(runs[1]))]
