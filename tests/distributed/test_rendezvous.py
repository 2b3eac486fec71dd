"""Nodes identify themselves, find each other, and name those that do not join."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor

import pytest
from torch._C._distributed_c10d import HashStore, TCPStore

from cloudmask.config import Config
from cloudmask.distributed import rendezvous
from cloudmask.distributed.rendezvous import Node, Rendezvous, find_node, join_rendezvous
from cloudmask.errors import InputError
from tests.distributed.ports import reserved_port

HOSTS = ("node-a", "node-b", "node-c")


@pytest.fixture
def port() -> Iterator[int]:
    """A port that nobody listens at."""
    with reserved_port() as number:
        yield number


def at_once(*actions: Callable[[], object]) -> list[Future[object]]:
    """Every action's outcome, each from a thread of its own."""
    with ThreadPoolExecutor(len(actions)) as pool:
        return [pool.submit(action) for action in actions]


def test_nodes_that_all_join_know_their_own_addresses(port):
    nodes = [Node(rank, 3, "127.0.0.1", port, HOSTS) for rank in (2, 1, 0)]
    joined = at_once(*(lambda n=node: join_rendezvous(n, timeout=60) for node in nodes))
    assert [future.result().own_address for future in joined] == ["127.0.0.1"] * 3
    assert [future.result().interface for future in joined] == ["lo"] * 3


def test_every_node_that_joined_names_the_missing_one(port, monkeypatch):
    registered = threading.Event()

    class Store(rendezvous.TCPStore):
        def set(self, key: str, value: str) -> None:
            super().set(key, value)
            if key == "node 2":
                registered.set()

    class Clock:
        """The timeout of node 0 is over as soon as node 2 has registered."""

        now = 0.0

        def monotonic(self) -> float:
            return self.now

        def sleep(self, seconds: float) -> None:
            if registered.wait(seconds):
                self.now = 100.0

    monkeypatch.setattr(rendezvous, "TCPStore", Store)
    monkeypatch.setattr(rendezvous, "time", Clock())
    nodes = [Node(rank, 3, "127.0.0.1", port, HOSTS) for rank in (0, 2)]
    errors = at_once(*(lambda n=node: join_rendezvous(n, timeout=60) for node in nodes))
    assert [str(future.exception()) for future in errors] == [
        "node 1 of 3 (node-b) did not join within 60 s (2 of 3 joined): start the run there too, "
        "or increase rendezvous_timeout"
    ] * 2


def test_without_hosts_a_missing_node_is_named_by_its_number(port):
    with pytest.raises(InputError, match="node 1 of 2 did not join"):
        join_rendezvous(Node(0, 2, "127.0.0.1", port), timeout=0.3)


def test_a_first_node_that_never_listens_is_named(port):
    with pytest.raises(InputError, match=r"node 0 of 2 \(node-a\) did not listen at 127.0.0.1"):
        join_rendezvous(Node(1, 2, "127.0.0.1", port, HOSTS[:2]), timeout=0.5)


def test_a_node_whose_registration_was_lost_with_an_ending_run_registers_again(port):
    over = threading.Event()

    def end_a_run_and_start_the_next() -> int:
        ending = TCPStore("127.0.0.1", port, is_master=True, wait_for_workers=False)
        ending.wait(["node 1"])  # it has registered, and waits for its answer
        del ending
        joined = join_rendezvous(Node(0, 2, "127.0.0.1", port), timeout=60)
        over.wait(60)  # as long as the run lasts, the store is there
        return joined.node.rank

    def join() -> int:
        joined = join_rendezvous(Node(1, 2, "127.0.0.1", port), timeout=60)
        over.set()
        return joined.node.rank

    assert [future.result() for future in at_once(end_a_run_and_start_the_next, join)] == [0, 1]


def test_a_port_in_use_is_refused_with_the_way_out():
    with socket.create_server(("", 0)) as server:
        port = server.getsockname()[1]
        with pytest.raises(InputError, match=f"port {port} of localhost cannot be opened"):
            join_rendezvous(Node(0, 2, "localhost", port), timeout=5)


def test_under_slurm_a_task_is_a_node():
    slurm = {"SLURM_STEP_NUM_NODES": "2", "SLURM_STEP_NUM_TASKS": "2", "SLURM_NODEID": "1"}
    node = find_node(Config(nodes=2, hosts="node-a,node-b"), slurm)
    assert (node.rank, node.address, node.name(1)) == (1, "node-a", "node 1 of 2 (node-b)")


def test_a_node_finds_itself_among_the_hosts():
    # 203.0.113.1 is an address of no machine (RFC 5737).
    assert find_node(Config(nodes=2, hosts="203.0.113.1, 127.0.0.1"), {}).rank == 1


@pytest.mark.parametrize(
    ("hosts", "environment", "message"),
    [
        (None, {}, "nodes is 2 but neither hosts nor MASTER_ADDR is set"),
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
def test_a_node_that_cannot_be_identified_is_refused(hosts, environment, message):
    with pytest.raises(InputError, match=message):
        find_node(Config(nodes=2, hosts=hosts), environment)


def test_an_address_of_another_machine_has_no_interface_here(port):
    node = Node(0, 1, "127.0.0.1", port)
    assert Rendezvous(node, HashStore(), "203.0.113.1").interface is None
