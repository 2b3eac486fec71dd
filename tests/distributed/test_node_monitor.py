"""Supervisors of two nodes know of each other's heartbeats and progress."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from cloudmask.distributed.heartbeat import RankStatus
from cloudmask.distributed.node_monitor import NodeMonitor
from cloudmask.distributed.rendezvous import Node, join_rendezvous
from tests.distributed.ports import reserved_port


@pytest.fixture
def two_monitors():
    """The monitors of two nodes, whose ranks made progress 3000 and 4000 seconds ago."""
    with reserved_port() as port, ThreadPoolExecutor(2) as pool:
        nodes = [Node(rank, 2, "127.0.0.1", port, ("node-a", "node-b")) for rank in range(2)]
        joined = list(pool.map(lambda node: join_rendezvous(node, timeout=60), nodes))
        monitors = [
            NodeMonitor(rendezvous, [RankStatus(time.monotonic() - 1000 * (3 + rank))])
            for rank, rendezvous in enumerate(joined)
        ]
        yield monitors
        list(pool.map(NodeMonitor.close, monitors))


def test_a_node_without_heartbeats_is_named_after_the_timeout(two_monitors):
    first, second = two_monitors
    now = time.monotonic()
    assert (first.lost(5.0, now), second.lost(5.0, now)) == ("", "")
    later = time.monotonic() + 60
    assert first.lost(50.0, later) == "node 1 of 2 (node-b)"
    assert second.lost(50.0, later) == "node 0 of 2 (node-a)"


def test_progress_on_the_other_node_is_known(two_monitors):
    first, second = two_monitors
    hang = time.monotonic() + 60
    while 0 in (first.seconds_since_progress(), second.seconds_since_progress()):
        assert time.monotonic() < hang, "no heartbeat came"
        time.sleep(0.05)
    assert 4000 <= first.seconds_since_progress() < 5000
    assert 3000 <= second.seconds_since_progress() < 4000
