"""Runs started by hand on two nodes: separate networks, and one node that never joins."""

from __future__ import annotations

import sys

import pytest

from cloudmask.machine.sensors.usage import read_usage
from cloudmask.mlperf.check.command import check
from tests.cluster.small_run import SMALL_RUN
from tests.paths import ROOT
from tests.runs import values_of

pytestmark = pytest.mark.slow


def test_two_nodes_meet_by_their_addresses_and_train_to_the_target(two_nodes, two_scenes, tmp_path):
    variables = {
        **SMALL_RUN,
        **{"DGXSYSTEM": "CPU", "DGXNNODES": "2", "DATADIR": str(two_scenes)},
    }
    script = (str(ROOT / "run_and_time.sh"),)
    nodes = [
        two_nodes.start(node, entry=script, LOGDIR=str(tmp_path / str(node)), **variables)
        for node in (1, 0)
    ]
    (_, second_error), (output, error) = (node.communicate(timeout=300) for node in nodes)
    assert [node.returncode for node in nodes] == [0, 0], output + error + second_error
    # Where the packages are in .venv, the first node says how to get the other commands.
    assert [line for line in error.splitlines() if not line.startswith("other commands: ")] == []
    assert second_error == ""
    log = tmp_path / "0" / "result_0.txt"  # the first node writes it, and no other
    assert f"SUCCESS  {log}" in output
    assert not (tmp_path / "1").exists()
    assert check(log).accepted
    assert values_of(log, "number_of_nodes") == [2]
    assert values_of(log, "global_batch_size") == [2]
    for node, name in enumerate(("utilisation_0.csv", "utilisation_0_node1.csv")):
        samples = values_of(log, "utilisation")[node]["samples"]
        assert samples == read_usage(log.with_name(name)).samples > 1


@pytest.mark.parametrize(
    ("present", "problem"),
    [
        (0, "1 of 2 ranks joined within 3 s"),
        (1, "rank 1 did not reach rank 0 at 10.99.7.1:29400 within 3 s"),
    ],
)
def test_a_node_that_never_joins_ends_the_run(two_nodes, two_scenes, tmp_path, present, problem):
    process = two_nodes.start(
        present,
        *("--nodes=2", "--rendezvous-timeout=3"),
        *("--datadir", two_scenes, "--logdir", tmp_path),
    )
    _, error = process.communicate(timeout=300)
    assert process.returncode == 2
    assert error == (
        f"cloudmask train: error: {problem}: start the run on every node, "
        "or increase rendezvous_timeout\n"
    )
    assert not list(tmp_path.iterdir())


def test_torchrun_trains_on_two_nodes(two_nodes, two_scenes, tmp_path):
    torchrun = (sys.executable, "-m", "torch.distributed.run", "--nnodes=2", "--nproc-per-node=1")
    nodes = [
        two_nodes.start(
            node,
            *("-m", "cloudmask", "train", "--datadir", two_scenes, "--logdir", tmp_path),
            entry=(*torchrun, f"--node-rank={node}", f"--master-addr={two_nodes.addresses[0]}"),
            **SMALL_RUN,
        )
        for node in (1, 0)
    ]
    (_, second_error), (output, error) = (node.communicate(timeout=300) for node in nodes)
    assert [node.returncode for node in nodes] == [0, 0], output + error + second_error
    log = tmp_path / "result_0.txt"
    assert check(log).accepted
    assert values_of(log, "number_of_nodes") == [2]
