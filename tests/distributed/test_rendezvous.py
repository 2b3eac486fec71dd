"""Nodes find their places and each other, and name those that do not come."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor

import pytest

from cloudmask.config import Config
from cloudmask.distributed.rendezvous import Node, find_node, interface_of, join_rendezvous
from cloudmask.errors import InputError

HOSTS = ("node-a", "node-b", "node-c")


def free_port() -> int:
    """A port that nobody listens at."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def at_once(*actions: Callable[[], object]) -> list[Future[object]]:
    """Every action's outcome, each from a thread of its own."""
    with ThreadPoolExecutor(len(actions)) as pool:
        return [pool.submit(action) for action in actions]


def test_nodes_that_all_come_know_their_own_addresses():
    port = free_port()
    places = [Node(rank, 3, "127.0.0.1", port, HOSTS) for rank in (2, 1, 0)]
    met = at_once(*(lambda n=place: join_rendezvous(n, timeout=60) for place in places))
    assert [meeting.result().own_address for meeting in met] == ["127.0.0.1"] * 3
    assert [meeting.result().interface for meeting in met] == ["lo"] * 3


@pytest.mark.slow
def test_every_node_that_came_is_told_who_did_not():
    port = free_port()
    places = [Node(rank, 3, "127.0.0.1", port, HOSTS) for rank in (0, 2)]
    errors = [
        str(future.exception())
        for future in at_once(*(lambda n=place: join_rendezvous(n, timeout=2) for place in places))
    ]
    assert errors[0] == errors[1]
    assert errors[0].startswith("node 1 of 3 (node-b) did not come within 2 s (2 of 3 came)")


def test_without_hosts_a_missing_node_is_named_by_its_number():
    with pytest.raises(InputError, match="node 1 of 2 did not come"):
        join_rendezvous(Node(0, 2, "127.0.0.1", free_port()), timeout=0.3)


def test_a_first_node_that_never_comes_is_named():
    with pytest.raises(InputError, match=r"node 0 of 2 \(node-a\) was not there at 127.0.0.1"):
        join_rendezvous(Node(1, 2, "127.0.0.1", free_port(), HOSTS[:2]), timeout=0.5)


def test_a_node_whose_report_was_lost_with_an_ending_run_reports_again():
    port = free_port()

    def accept_once_and_hang_up() -> None:
        with socket.create_server(("127.0.0.1", port)) as server:
            server.accept()[0].close()  # what finds out that somebody is there
            server.accept()[0].close()  # the report
        meeting = join_rendezvous(Node(0, 2, "127.0.0.1", port), timeout=60)
        time.sleep(1)  # as long as the run lasts, the store is there
        assert meeting.place.rank == 0

    first, second = at_once(
        accept_once_and_hang_up, lambda: join_rendezvous(Node(1, 2, "127.0.0.1", port), timeout=60)
    )
    first.result()
    assert second.result().place.rank == 1


def test_a_port_in_use_is_refused_with_the_way_out():
    with socket.create_server(("", 0)) as server:
        port = server.getsockname()[1]
        with pytest.raises(InputError, match=f"port {port} of localhost cannot be opened"):
            join_rendezvous(Node(0, 2, "localhost", port), timeout=5)


def test_slurm_tells_the_place_of_a_task():
    slurm = {"SLURM_STEP_NUM_NODES": "2", "SLURM_STEP_NUM_TASKS": "2", "SLURM_NODEID": "1"}
    place = find_node(Config(nodes=2, hosts="node-a,node-b"), slurm)
    assert (place.rank, place.address, place.name(1)) == (1, "node-a", "node 1 of 2 (node-b)")


def test_a_node_finds_itself_among_the_hosts():
    # 203.0.113.1 is an address of no machine (RFC 5737).
    assert find_node(Config(nodes=2, hosts="203.0.113.1, 127.0.0.1"), {}).rank == 1


@pytest.mark.parametrize(
    ("hosts", "environment", "message"),
    [
        (None, {}, "nodes is 2 but nobody says which"),
        ("a,b,c", {}, "hosts names 3 nodes"),
        ("203.0.113.1,203.0.113.2", {}, "is none of hosts"),
        ("127.0.0.1,localhost", {}, "is more than one of hosts"),
        ("a,b", {"NODE_RANK": "2"}, "NODE_RANK is 2: it must be a number from 0 to 1"),
        ("a,b", {"NODE_RANK": "0", "MASTER_PORT": "ssh"}, "MASTER_PORT is ssh"),
        ("127.0.0.1,no-such-host.invalid", {}, "host no-such-host.invalid has no address"),
        (
            "a,b",
            {"SLURM_STEP_NUM_NODES": "2", "SLURM_STEP_NUM_TASKS": "32", "SLURM_NODEID": "1"},
            "srun started 32 tasks on 2 nodes",
        ),
    ],
)
def test_a_place_that_cannot_be_told_is_refused(hosts, environment, message):
    with pytest.raises(InputError, match=message):
        find_node(Config(nodes=2, hosts=hosts), environment)


def test_an_address_of_another_machine_has_no_interface_here():
    assert interface_of("203.0.113.1") is None
