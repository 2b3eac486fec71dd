"""Where the nodes of a run meet before anything else, so that one that never comes is named.

Node 0 opens a store; every other node reports there and gets one answer: go, or who is missing.
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

DEFAULT_PORT = 29400
POLL = 0.1  # seconds
# How much longer a node that was received waits for the answer than it would wait for node 0,
# which may have begun to wait for the others a little later.
GRACE = 10.0  # seconds


@dataclass(frozen=True)
class Node:
    """This node's place among the nodes of the run, and where node 0 is found."""

    rank: int
    nodes: int
    address: str
    port: int
    hosts: Sequence[str] = ()

    def name(self, rank: int) -> str:
        """How messages call a node: by its host too, where hosts are known."""
        host = f" ({self.hosts[rank]})" if self.hosts else ""
        return f"node {rank} of {self.nodes}{host}"


@dataclass(frozen=True)
class Rendezvous:
    """All nodes are here. The store ends with this object, so keep it until the run is over."""

    place: Node
    store: Store
    own_address: str

    @property
    def interface(self) -> str | None:
        """The network interface by which the other nodes reach this one, if it has it itself."""
        return interface_of(self.own_address)


def find_node(config: Config, environment: Mapping[str, str] = os.environ) -> Node:
    """This node's place, from `hosts`, MASTER_ADDR and NODE_RANK, or the variables of Slurm's srun.

    Raises:
        InputError: they do not say who this node is or where node 0 is, or contradict each other.
    """
    hosts = [host.strip() for host in (config.hosts or "").split(",") if host.strip()]
    if hosts and len(hosts) != config.nodes:
        raise InputError(
            f"hosts names {len(hosts)} nodes ({', '.join(hosts)}) but nodes is {config.nodes}: "
            "name each node once"
        )
    address = environment.get("MASTER_ADDR") or (hosts[0] if hosts else "")
    if not address:
        raise InputError(
            f"nodes is {config.nodes} but nobody says which: give hosts, their names in the same "
            "order on each, or MASTER_ADDR and NODE_RANK"
        )
    port = _number("MASTER_PORT", environment.get("MASTER_PORT", str(DEFAULT_PORT)), 65536)
    return Node(_own_rank(config, hosts, environment), config.nodes, address, port, hosts)


def _own_rank(config: Config, hosts: Sequence[str], environment: Mapping[str, str]) -> int:
    if "NODE_RANK" in environment:
        return _number("NODE_RANK", environment["NODE_RANK"], config.nodes)
    if environment.get("SLURM_STEP_NUM_NODES") == str(config.nodes):
        tasks = environment.get("SLURM_STEP_NUM_TASKS")
        if tasks != str(config.nodes):
            raise InputError(
                f"srun started {tasks} tasks on {config.nodes} nodes: start one on each "
                "(--ntasks-per-node=1), which starts the processes of its node"
            )
        return int(environment["SLURM_NODEID"])
    own = [rank for rank, host in enumerate(hosts) if _is_this_machine(host)]
    if len(own) != 1:
        raise InputError(
            f"{socket.gethostname()} is {'none' if not own else 'more than one'} of hosts "
            f"({config.hosts or 'not given'}): correct them, or say which it is with NODE_RANK"
        )
    return own[0]


def _number(name: str, text: str, bound: int) -> int:
    if not text.isdecimal() or int(text) >= bound:
        raise InputError(f"{name} is {text}: it must be a number from 0 to {bound - 1}")
    return int(text)


def _is_this_machine(host: str) -> bool:
    """Whether the host has an address that only a machine's owner can bind."""
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


def join_rendezvous(place: Node, timeout: float) -> Rendezvous:
    """Wait until every node of the run is here; timeout in seconds.

    Raises:
        InputError: on every node that came, with the names of those that did not; or the port
            of node 0 is taken.
    """
    return _receive(place, timeout) if place.rank == 0 else _report(place, timeout)


def _receive(place: Node, timeout: float) -> Rendezvous:
    """Node 0: wait for the others, then answer them all."""
    _resolve(place.address, place.port)
    try:
        store = TCPStore(place.address, place.port, is_master=True, wait_for_workers=False)
    except DistError as error:
        raise InputError(
            f"port {place.port} of {place.address} cannot be opened on this node, which is "
            f"{place.name(0)}: set MASTER_PORT to one that is free, the same on every node"
        ) from error
    deadline = time.monotonic() + timeout
    others = range(1, place.nodes)
    while missing := [rank for rank in others if not store.check([_key(rank)])]:
        if time.monotonic() > deadline:
            break
        time.sleep(POLL)
    arrivals = [json.loads(store.get(_key(rank))) for rank in others if rank not in missing]
    problem = ""
    if missing:
        names = ", ".join(place.name(rank) for rank in missing)
        problem = (
            f"{names} did not come within {timeout:g} s ({len(arrivals) + 1} of {place.nodes} "
            "came): start the run there too, or give a longer rendezvous_timeout"
        )
    for arrival in arrivals:
        store.set(f"answer {arrival['token']}", problem)
    if problem:
        _wait_until_read(store, [arrival["token"] for arrival in arrivals])
        raise InputError(problem)
    return Rendezvous(place, store, own_address=arrivals[0]["reached"])


def _wait_until_read(store: Store, tokens: Sequence[str]) -> None:
    """The answers go with the store, so the others get some time to read theirs."""
    deadline = time.monotonic() + GRACE
    while time.monotonic() < deadline:
        if all(store.check([f"read {token}"]) for token in tokens):
            return
        time.sleep(POLL)


def _report(place: Node, timeout: float) -> Rendezvous:
    """Any other node: report to node 0, and wait for its answer.

    Once more if the store goes in between: it may be that of a run that was just ending. The
    token makes sure that the answer is to this report.
    """
    deadline = time.monotonic() + timeout
    while True:
        own_address, reached = _reach(place, deadline, timeout)
        token = uuid.uuid4().hex
        try:
            patience = timedelta(seconds=timeout + GRACE)
            store = TCPStore(place.address, place.port, timeout=patience, wait_for_workers=False)
            store.set(_key(place.rank), json.dumps({"token": token, "reached": reached}))
            problem = store.get(f"answer {token}").decode()
            store.set(f"read {token}", "")
        except DistError:
            time.sleep(POLL)
            continue
        if problem:
            raise InputError(problem)
        return Rendezvous(place, store, own_address)


def _reach(place: Node, deadline: float, timeout: float) -> tuple[str, str]:
    """The addresses of both ends of a connection to node 0, as soon as it takes one."""
    _resolve(place.address, place.port)
    while True:
        left = deadline - time.monotonic()
        if left <= 0:
            raise InputError(
                f"{place.name(0)} was not there at {place.address}:{place.port} within "
                f"{timeout:g} s: start the run there too, or give a longer rendezvous_timeout"
            )
        try:
            with socket.create_connection((place.address, place.port), timeout=left) as line:
                return line.getsockname()[0], line.getpeername()[0]
        except OSError:
            time.sleep(POLL)


def _key(rank: int) -> str:
    return f"node {rank}"


def interface_of(address: str) -> str | None:
    """The name of this machine's network interface with an address, None if it has none."""
    for name, entries in psutil.net_if_addrs().items():
        if any(entry.address.partition("%")[0] == address for entry in entries):
            return str(name)
    return None
