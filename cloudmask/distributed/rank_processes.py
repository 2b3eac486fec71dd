"""The rank processes of a node: started, signalled, killed and reaped by their supervisor."""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress

import psutil

from cloudmask.distributed.heartbeat import PARENT_VARIABLE

# From <linux/prctl.h>.
PR_SET_PDEATHSIG, PR_SET_CHILD_SUBREAPER = 1, 36
REAP_TIMEOUT = 10.0  # seconds
POLL_INTERVAL = 0.05  # seconds


class RankProcesses:
    """One process per rank, each the leader of a session that includes its staging workers."""

    def __init__(self, command: Sequence[str], environments: Sequence[Mapping[str, str]]) -> None:
        self.processes: list[subprocess.Popen[bytes]] = []
        try:
            for environment in environments:
                self.processes.append(
                    subprocess.Popen(
                        [sys.executable, *command],
                        env={**environment, PARENT_VARIABLE: str(os.getpid())},
                        start_new_session=True,
                    )
                )
        except BaseException:
            self.kill()
            raise

    def exit_codes(self) -> list[int | None]:
        """Exit codes by local rank: None for a running one, -n if signal n killed it.

        Exited processes are not reaped yet, so that the system does not reuse their PIDs.
        """
        return [_exit_code(process.pid) for process in self.processes]

    def suspended(self) -> list[int]:
        """Local ranks that are suspended, as by SIGSTOP."""
        return [
            local_rank
            for local_rank, process in enumerate(self.processes)
            if psutil.Process(process.pid).status() == psutil.STATUS_STOPPED
        ]

    def stop(self, number: int, timeout: float) -> None:
        """Send a stop signal to the running ranks; return when all exited, or after `timeout` s."""
        for process, code in zip(self.processes, self.exit_codes(), strict=True):
            if code is None:
                os.kill(process.pid, number)
        deadline = time.monotonic() + timeout
        while None in self.exit_codes() and time.monotonic() < deadline:
            time.sleep(POLL_INTERVAL)

    def suspend(self) -> None:
        """Suspend the ranks and their workers: they do nothing more but exit."""
        for process in self.processes:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGSTOP)

    def kill(self) -> None:
        """Kill the ranks and their workers, and reap them all."""
        for process in self.processes:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
        deadline = time.monotonic() + REAP_TIMEOUT
        for process in self.processes:
            # A dead disk may hold even a killed process.
            with suppress(subprocess.TimeoutExpired):
                process.wait(timeout=max(0.0, deadline - time.monotonic()))
        for process in self.processes:
            while _reap_orphan(process.pid) and time.monotonic() < deadline:
                time.sleep(0.01)
        self.processes = []


def become_subreaper() -> None:
    """In a supervisor: become the parent of staging workers whose rank was killed."""
    _prctl(PR_SET_CHILD_SUBREAPER, 1)


def stop_with_supervisor() -> None:
    """In a rank: receive SIGTERM when the supervisor exits, even if it is killed."""
    _prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
    if os.getppid() != int(os.environ[PARENT_VARIABLE]):  # it exited before the call
        os.kill(os.getpid(), signal.SIGTERM)


def _exit_code(pid: int) -> int | None:
    exited = os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    if exited is None:
        return None
    return exited.si_status if exited.si_code == os.CLD_EXITED else -exited.si_status


def _reap_orphan(session: int) -> bool:
    """Reap an exited process of a rank's session; returns whether the session has any left."""
    try:
        os.waitpid(-session, os.WNOHANG)
    except ChildProcessError:
        return False
    return True


def _prctl(option: int, value: int) -> None:
    """Call Linux's prctl; other systems have none, and clean up after processes themselves."""
    function = getattr(ctypes.CDLL(None), "prctl", None)
    if function is not None:
        function(option, value, 0, 0, 0)
