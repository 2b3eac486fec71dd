"""Clusters on one machine: a Slurm of two nodes, and two machines' worth of network."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.paths import ROOT

SLURM_PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch", "srun", "scontrol", "scancel")
# Debian keeps daemons where only root's PATH looks.
PATH = f"{os.environ['PATH']}:/usr/sbin:/sbin"
# One thread a rank, because two "nodes" share the cores here, and a target that ten steps reach.
SMALL_RUN = {
    "OMP_NUM_THREADS": "1",
    "CLOUDMASK_BATCH_SIZE": "1",
    "CLOUDMASK_WARMUP_STEPS": "0",
    "CLOUDMASK_LEARNING_RATE": "0.002",
    "CLOUDMASK_WEIGHT_AVERAGING": "0.8",
    "CLOUDMASK_CLEAR_CACHES": "false",
}


def require(*programs: str) -> None:
    """Skip the test if a program is missing or this is not root."""
    if os.geteuid() != 0:
        pytest.skip("only root can set up a cluster on one machine")
    missing = [program for program in programs if shutil.which(program, path=PATH) is None]
    if missing:
        pytest.skip(f"not installed: {', '.join(missing)}")


@dataclass(frozen=True)
class Nodes:
    """Two network namespaces joined by a cable, each with a loopback and an address."""

    names: tuple[str, str]
    addresses: tuple[str, str]

    def start(
        self, node: int, *flags: object, entry: tuple[str, ...] = (), **variables: str
    ) -> subprocess.Popen[str]:
        """A command on a node, `cloudmask train` unless another entry is given."""
        command = entry or (sys.executable, "-m", "cloudmask", "train")
        return subprocess.Popen(
            ["ip", "netns", "exec", self.names[node], *command, *map(str, flags)],
            cwd=ROOT,
            env={**os.environ, "PATH": PATH, **SMALL_RUN, **variables},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )


@pytest.fixture
def two_nodes() -> Iterator[Nodes]:
    """Two nodes that can only reach each other by their addresses."""
    require("ip")
    names = (f"cloudmask-{os.getpid()}-0", f"cloudmask-{os.getpid()}-1")
    addresses = ("10.99.7.1", "10.99.7.2")
    made = []
    try:
        for name in names:
            if subprocess.run(["ip", "netns", "add", name], env={"PATH": PATH}).returncode:
                pytest.skip("this machine makes no network namespaces")
            made.append(name)
        _ip("link", "add", "cable", "netns", names[0], "type", "veth")
        _ip("-n", names[0], "link", "set", "veth0", "netns", names[1])
        for name, port, address in zip(names, ("cable", "veth0"), addresses, strict=True):
            _ip("-n", name, "address", "add", f"{address}/24", "dev", port)
            _ip("-n", name, "link", "set", port, "up")
            _ip("-n", name, "link", "set", "lo", "up")
        yield Nodes(names, addresses)
    finally:
        for name in made:
            _ip("netns", "delete", name)


def _ip(*arguments: str) -> None:
    subprocess.run(["ip", *arguments], env={"PATH": PATH}, check=True)


@dataclass(frozen=True)
class Slurm:
    """A running Slurm with two nodes of two cores."""

    folder: Path

    def environment(self, **variables: str) -> dict[str, str]:
        """What a user of it has, and `variables`."""
        return {
            **os.environ,
            "PATH": PATH,
            "SLURM_CONF": str(self.folder / "slurm.conf"),
        } | variables

    def call(self, *command: object, **variables: str) -> subprocess.CompletedProcess[str]:
        """One of Slurm's commands, to its end."""
        return subprocess.run(
            list(map(str, command)),
            cwd=ROOT,
            env=self.environment(**variables),
            capture_output=True,
            text=True,
            timeout=300,
        )


@pytest.fixture(scope="module")
def slurm() -> Iterator[Slurm]:
    """Controller, two node daemons and munge with state, ports and keys of their own."""
    require(*SLURM_PROGRAMS)
    # Its path is short, because sockets have short names.
    folder = Path(tempfile.mkdtemp(prefix="slurm-"))
    cluster = Slurm(folder)
    folder.chmod(0o755)
    (folder / "slurm.conf").write_text(_slurm_conf(folder))
    (folder / "munge.key").write_bytes(os.urandom(128))
    (folder / "munge.key").chmod(0o600)
    files = ("key", "socket", "pid", "log", "seed")
    options = [f"--{name}-file={folder}/munge.{name}" for name in files]
    options[1] = f"--socket={folder}/munge.socket"
    daemons = [
        ["munged", "--foreground", "--force", *options],
        ["slurmctld", "-D", "-i"],
        ["slurmd", "-D", "-N", "node0"],
        ["slurmd", "-D", "-N", "node1"],
    ]
    running = []
    try:
        with (folder / "daemons.log").open("w") as log:
            for command in daemons:
                running.append(
                    subprocess.Popen(command, env=cluster.environment(), stdout=log, stderr=log)
                )
                if command[0] == "munged":
                    _wait_for(lambda: (folder / "munge.socket").exists(), folder)
        _wait_for(lambda: cluster.call("sinfo", "-h", "-o", "%t %D").stdout == "idle 2\n", folder)
        yield cluster
    finally:
        for process in reversed(running):
            process.terminate()
        for process in running:
            process.wait(timeout=60)
        shutil.rmtree(folder)


def _slurm_conf(folder: Path) -> str:
    controller, first, second = _free_ports(3)
    host = socket.gethostname()
    node = f"NodeHostname={host} NodeAddr=127.0.0.1 CPUs=2 State=UNKNOWN"
    return f"""\
ClusterName=test
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={controller}
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool-%n
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd-%n.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd-%n.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
MpiDefault=none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
SlurmdParameters=config_overrides
ReturnToService=2
NodeName=node0 Port={first} {node}
NodeName=node1 Port={second} {node}
PartitionName=all Nodes=ALL Default=YES MaxTime=INFINITE State=UP
"""


def _free_ports(count: int) -> list[int]:
    sockets = [socket.socket() for _ in range(count)]
    for item in sockets:
        item.bind(("127.0.0.1", 0))
    ports = [item.getsockname()[1] for item in sockets]
    for item in sockets:
        item.close()
    return ports


def _wait_for(condition, folder: Path) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        if time.monotonic() > deadline:
            logs = "\n".join(path.read_text() for path in sorted(folder.glob("*.log")))
            pytest.fail(f"Slurm did not start:\n{logs}")
        time.sleep(0.2)
