"""Two nodes on one machine: network namespaces that reach each other by their addresses only."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

import pytest

from tests.paths import ROOT

# Debian keeps daemons where only root's PATH looks.
PATH = f"{os.environ['PATH']}:/usr/sbin:/sbin"


def require(*programs: str) -> None:
    """Skip the test if a program is missing or this is not root."""
    if os.geteuid() != 0:
        pytest.skip("only root can set up a cluster on one machine")
    missing = [program for program in programs if shutil.which(program, path=PATH) is None]
    if missing:
        pytest.skip(f"not installed: {', '.join(missing)}")


def ip(*arguments: str) -> None:
    subprocess.run(["ip", *arguments], env={"PATH": PATH}, check=True)


@contextmanager
def network_namespace(name: str) -> Iterator[str]:
    """A network of its own, with a loopback: `ip netns exec NAME` runs a command in it."""
    require("ip")
    if subprocess.run(["ip", "netns", "add", name], env={"PATH": PATH}).returncode:
        pytest.skip("this machine makes no network namespaces")
    try:
        ip("-n", name, "link", "set", "lo", "up")
        yield name
    finally:
        ip("netns", "delete", name)


@dataclass(frozen=True)
class Nodes:
    """Two network namespaces joined by a cable, each with a loopback and an address."""

    names: tuple[str, str]
    addresses: tuple[str, str]

    def start(
        self, node: int, *flags: object, entry: tuple[str, ...] = (), **variables: str
    ) -> subprocess.Popen[str]:
        """A command on a node, `cloudmask train` unless another entry is given.

        It finds the number of the node and the address of the first one in its environment.
        """
        command = entry or (sys.executable, "-m", "cloudmask", "train")
        return subprocess.Popen(
            ["ip", "netns", "exec", self.names[node], *command, *map(str, flags)],
            cwd=ROOT,
            env={
                **os.environ,
                "PATH": PATH,
                "MASTER_ADDR": self.addresses[0],
                "NODE_RANK": str(node),
                **variables,
            },
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )


@pytest.fixture
def two_nodes() -> Iterator[Nodes]:
    """Two nodes that can only reach each other by their addresses."""
    names = (f"cloudmask-{os.getpid()}-0", f"cloudmask-{os.getpid()}-1")
    addresses = ("10.99.7.1", "10.99.7.2")
    with ExitStack() as namespaces:
        for name in names:
            namespaces.enter_context(network_namespace(name))
        ip("link", "add", "cable", "netns", names[0], "type", "veth")
        ip("-n", names[0], "link", "set", "veth0", "netns", names[1])
        for name, port, address in zip(names, ("cable", "veth0"), addresses, strict=True):
            ip("-n", name, "address", "add", f"{address}/24", "dev", port)
            ip("-n", name, "link", "set", port, "up")
        yield Nodes(names, addresses)
