"""A Slurm of two nodes on one machine."""

from __future__ import annotations

import os
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.cluster.namespaces import PATH, ip, network_namespace, require, two_nodes  # noqa: F401
from tests.paths import ROOT

SLURM_PROGRAMS = (
    "munged",
    "slurmctld",
    "slurmd",
    "sbatch",
    "sinfo",
    "srun",
    "scontrol",
    "scancel",
    "nsenter",
)


@dataclass(frozen=True)
class Slurm:
    """A running Slurm with two nodes of two cores, in a network of its own."""

    folder: Path
    namespace: str

    def start(self, *command: object, **options: object) -> subprocess.Popen[str]:
        """A command in the network of this Slurm."""
        variables = options.pop("env", {})
        return subprocess.Popen(
            # `ip netns exec` would hide /sys/fs/cgroup, which slurmd asks for.
            ["nsenter", f"--net=/run/netns/{self.namespace}", *map(str, command)],
            cwd=ROOT,
            env={
                **os.environ,
                "PATH": PATH,
                "SLURM_CONF": str(self.folder / "slurm.conf"),
                **variables,
            },
            text=True,
            **options,
        )

    def call(self, *command: object, **variables: str) -> subprocess.CompletedProcess[str]:
        """One of Slurm's commands, to its end."""
        process = self.start(
            *command, env=variables, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )
        output, error = process.communicate(timeout=300)
        return subprocess.CompletedProcess(process.args, process.returncode, output, error)


@pytest.fixture(scope="module")
def slurm() -> Iterator[Slurm]:
    """Controller, two node daemons and munge with network, state and keys of their own."""
    require(*SLURM_PROGRAMS)
    running: list[subprocess.Popen[str]] = []
    with (
        # Its path is short, because sockets have short names.
        tempfile.TemporaryDirectory(prefix="slurm-") as path,
        network_namespace(f"slurm-{os.getpid()}") as namespace,
    ):
        # Without an address besides loopback's, no name is looked up.
        ip("-n", namespace, "address", "add", "10.99.8.1/32", "dev", "lo")
        folder = Path(path)
        folder.chmod(0o755)
        cluster = Slurm(folder, namespace)
        (folder / "slurm.conf").write_text(_slurm_conf(folder))
        (folder / "munge.key").write_bytes(os.urandom(128))
        (folder / "munge.key").chmod(0o600)
        files = [f"--{name}-file={folder}/munge.{name}" for name in ("key", "pid", "log", "seed")]
        munged = ["munged", "--foreground", "--force", f"--socket={folder}/munge.socket", *files]
        daemons = [["slurmctld", "-D", "-i"], *(["slurmd", "-D", "-N", f"node{i}"] for i in (0, 1))]
        try:
            with (folder / "daemons.log").open("w") as log:
                running.append(cluster.start(*munged, stdout=log, stderr=log))
                _wait_for(lambda: (folder / "munge.socket").exists(), folder)
                for daemon in daemons:
                    running.append(cluster.start(*daemon, stdout=log, stderr=log))
            idle = ("sinfo", "-h", "-o", "%t %D")
            _wait_for(lambda: cluster.call(*idle).stdout == "idle 2\n", folder)
            yield cluster
        finally:
            for process in reversed(running):
                process.terminate()
            for process in running:
                process.wait(timeout=60)


def _slurm_conf(folder: Path) -> str:
    host = socket.gethostname()
    node = f"NodeHostname={host} NodeAddr=127.0.0.1 CPUs=2 State=UNKNOWN"
    return f"""\
ClusterName=test
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort=6817
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
NodeName=node0 Port=6818 {node}
NodeName=node1 Port=6819 {node}
PartitionName=all Nodes=ALL Default=YES MaxTime=INFINITE State=UP
"""


def _wait_for(condition, folder: Path) -> None:
    deadline = time.monotonic() + 120
    while not condition():
        if time.monotonic() > deadline:
            logs = "\n".join(path.read_text() for path in sorted(folder.glob("*.log")))
            pytest.fail(f"Slurm did not start:\n{logs}")
        time.sleep(0.2)
