"""The rendezvous of the nodes of a run, so that a node that does not join is named.

Node 0 serves a store. Every other node registers there and receives one answer: '' to start, or
which nodes are missing.
"""

from __future__ import annotations

import json
import os
import socket
import time
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta

import psutil
from torch._C._distributed_c10d import Store, TCPStore
from torch.distributed import DistError

from cloudmask.config import Config
from cloudmask.errors import InputError
from cloudmask.tables import counted

DEFAULT_PORT = 29400
POLL_INTERVAL = 0.1  # seconds
# A registered node waits this much longer for its answer, because node 0 may have started to wait
# for the others a little later.
GRACE = 10.0  # seconds


@dataclass(frozen=True)
class Node:
    """The rank of this node among the `nodes` of the run, and where node 0 listens."""

    rank: int
    nodes: int
    address: str
    port: int
    hosts: Sequence[str] = ()

    def name(self, rank: int) -> str:
        """The name of a node in messages, with its host if hosts are known."""
        host = f" ({self.hosts[rank]})" if self.hosts else ""
        return f"node {rank} of {self.nodes}{host}"


@dataclass(frozen=True)
class Rendezvous:
    """A completed rendezvous. On node 0 the store ends with it: keep it until the run is over."""

    node: Node
    store: Store
    own_address: str

    @property
    def interface(self) -> str | None:
        """The network interface that has `own_address`; None if this machine does not have it."""
        for name, entries in psutil.net_if_addrs().items():
            if any(entry.address.partition("%")[0] == self.own_address for entry in entries):
                return str(name)
        return None


def find_node(config: Config, environment: Mapping[str, str] = os.environ) -> Node:
    """This node, from `hosts`, MASTER_ADDR and NODE_RANK, or the variables of Slurm's srun.

    Raises:
        InputError: they do not identify this node or node 0, or contradict each other.
    """
    hosts = [host.strip() for host in (config.hosts or "").split(",") if host.strip()]
    if hosts and len(hosts) != config.nodes:
        raise InputError(
            f"hosts names {counted(len(hosts), 'node')} ({', '.join(hosts)}) but nodes is "
            f"{config.nodes}: name each node once"
        )
    address = environment.get("MASTER_ADDR") or (hosts[0] if hosts else "")
    if not address:
        raise InputError(
            f"nodes is {config.nodes} but neither hosts nor MASTER_ADDR is set: set hosts to the "
            "names of the nodes, in the same order on each, or MASTER_ADDR and NODE_RANK"
        )
    port = _number("MASTER_PORT", environment.get("MASTER_PORT", str(DEFAULT_PORT)), 65536)
    return Node(_node_rank(config, hosts, environment), config.nodes, address, port, hosts)


def _node_rank(config: Config, hosts: Sequence[str], environment: Mapping[str, str]) -> int:
    if "NODE_RANK" in environment:
        return _number("NODE_RANK", environment["NODE_RANK"], config.nodes)
    if environment.get("SLURM_STEP_NUM_NODES") == str(config.nodes):
        tasks = environment.get("SLURM_STEP_NUM_TASKS")
        if tasks != str(config.nodes):
            raise InputError(
                f"srun started {tasks} tasks on {config.nodes} nodes: start one per node "
                "(--ntasks-per-node=1), which starts the processes of its node"
            )
        return int(environment["SLURM_NODEID"])
    own = [rank for rank, host in enumerate(hosts) if _is_this_machine(host)]
    if len(own) != 1:
        raise InputError(
            f"{socket.gethostname()} is {'none' if not own else 'more than one'} of hosts "
            f"({config.hosts or 'not set'}): correct hosts, or set NODE_RANK"
        )
    return own[0]


def _number(name: str, text: str, bound: int) -> int:
    if not text.isdecimal() or int(text) >= bound:
        raise InputError(f"{name} is {text}: it must be a number from 0 to {bound - 1}")
    return int(text)


def _is_this_machine(host: str) -> bool:
    """Whether this machine can bind an address of the host."""
    for family, _, _, _, address in _resolve(host, 0):
        with socket.socket(family) as probe:
            try:
                probe.bind(address)
            except OSError:
                continue
            return True
    return False


def _resolve(host: str, port: int) -> list[tuple[int, int, int, str, tuple[str, int]]]:
    try:
        return socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)  # type: ignore[return-value]
    except OSError as error:
        raise InputError(f"host {host} has no address ({error.strerror}): correct it") from error


def join_rendezvous(node: Node, timeout: float) -> Rendezvous:
    """Wait up to `timeout` seconds until every node of the run has joined.

    Raises:
        InputError: a node did not join (raised on all that did), or the port of node 0 is in use.
    """
    return _serve(node, timeout) if node.rank == 0 else _register(node, timeout)


def _serve(node: Node, timeout: float) -> Rendezvous:
    """On node 0: wait for the registrations of the other nodes, then answer them."""
    _resolve(node.address, node.port)
    try:
        store = TCPStore(node.address, node.port, is_master=True, wait_for_workers=False)
    except DistError as error:
        raise InputError(
            f"port {node.port} of {node.address} cannot be opened on this node, which is "
            f"{node.name(0)}: set MASTER_PORT to one that is free, the same on every node"
        ) from error
    deadline = time.monotonic() + timeout
    others = range(1, node.nodes)
    while True:
        late = time.monotonic() > deadline
        missing = [rank for rank in others if not store.check([_key(rank)])]
        if late or not missing:
            break
        time.sleep(POLL_INTERVAL)
    registered = [json.loads(store.get(_key(rank))) for rank in others if rank not in missing]
    problem = ""
    if missing:
        names = ", ".join(node.name(rank) for rank in missing)
        problem = (
            f"{names} did not join within {timeout:g} s ({len(registered) + 1} of {node.nodes} "
            "joined): start the run there too, or increase rendezvous_timeout"
        )
    for registration in registered:
        store.set(f"answer {registration['token']}", problem)
    if problem:
        _wait_until_read(store, [registration["token"] for registration in registered])
        raise InputError(problem)
    return Rendezvous(node, store, own_address=registered[0]["reached"])


def _wait_until_read(store: Store, tokens: Sequence[str]) -> None:
    """Keep the store until the other nodes have read their answers, or the grace is over."""
    deadline = time.monotonic() + GRACE
    while time.monotonic() < deadline:
        if all(store.check([f"read {token}"]) for token in tokens):
            return
        time.sleep(POLL_INTERVAL)


def _register(node: Node, timeout: float) -> Rendezvous:
    """On any other node: register with node 0, and wait for its answer.

    If the connection is lost, register again: the store may have been that of a run that was
    just ending. The token identifies the answer to this registration.
    """
    deadline = time.monotonic() + timeout
    while True:
        own_address, reached = _connect(node, deadline, timeout)
        token = uuid.uuid4().hex
        try:
            limit = timedelta(seconds=timeout + GRACE)
            store = TCPStore(node.address, node.port, timeout=limit, wait_for_workers=False)
            store.set(_key(node.rank), json.dumps({"token": token, "reached": reached}))
            problem = store.get(f"answer {token}").decode()
            store.set(f"read {token}", "")
        except DistError:
            time.sleep(POLL_INTERVAL)
            continue
        if problem:
            raise InputError(problem)
        return Rendezvous(node, store, own_address)


def _connect(node: Node, deadline: float, timeout: float) -> tuple[str, str]:
    """Connect to node 0 once it listens; returns the addresses of this and of that end."""
    _resolve(node.address, node.port)
    while True:
        left = deadline - time.monotonic()
        if left <= 0:
            raise InputError(
                f"{node.name(0)} did not listen at {node.address}:{node.port} within "
                f"{timeout:g} s: start the run there too, or increase rendezvous_timeout"
            )
        try:
            with socket.create_connection((node.address, node.port), timeout=left) as connection:
                return connection.getsockname()[0], connection.getpeername()[0]
        except OSError:
            time.sleep(POLL_INTERVAL)


def _key(rank: int) -> str:
    return f"node {rank}"
