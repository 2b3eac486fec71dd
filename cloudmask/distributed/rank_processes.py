"""The processes of a run on this node: started, watched and ended by their parent."""

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
REAPING = 10.0  # seconds that killed processes get to vanish


class RankProcesses:
    """One process a rank, each the leader of a session that holds its staging workers too."""

    def __init__(self, command: Sequence[str], environments: Sequence[Mapping[str, str]]) -> None:
        _prctl(PR_SET_CHILD_SUBREAPER, 1)  # workers whose rank was killed become this process's
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
            self.end()
            raise

    def codes(self) -> list[int | None]:
        """Exit codes by local rank: None while it runs, -n if signal n killed it.

        Processes that have ended are not yet collected, so that their numbers stay theirs.
        """
        return [_exit_code(process.pid) for process in self.processes]

    def suspended(self) -> list[int]:
        """Local ranks that somebody has suspended, as by SIGSTOP."""
        return [
            local_rank
            for local_rank, process in enumerate(self.processes)
            if psutil.Process(process.pid).status() == psutil.STATUS_STOPPED
        ]

    def signal(self, number: int) -> None:
        """Send a signal to every rank that has not ended."""
        for process, code in zip(self.processes, self.codes(), strict=True):
            if code is None:
                os.kill(process.pid, number)

    def wait(self, timeout: float) -> None:
        """Return when every rank has ended, or after so many seconds."""
        deadline = time.monotonic() + timeout
        while None in self.codes() and time.monotonic() < deadline:
            time.sleep(0.05)

    def end(self) -> None:
        """Kill what is left of the sessions, and collect every process."""
        for process in self.processes:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
        deadline = time.monotonic() + REAPING
        for process in self.processes:
            with suppress(subprocess.TimeoutExpired):  # a dead disk may hold even a killed process
                process.wait(timeout=max(0.0, deadline - time.monotonic()))
        for process in self.processes:
            while _collect_orphan(process.pid) and time.monotonic() < deadline:
                time.sleep(0.01)
        self.processes = []


def follow_supervisor() -> None:
    """In a rank: be stopped if the supervisor goes, however it goes."""
    _prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
    if os.getppid() != int(os.environ[PARENT_VARIABLE]):  # it went before that
        os.kill(os.getpid(), signal.SIGTERM)


def _exit_code(pid: int) -> int | None:
    ended = os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    if ended is None:
        return None
    return ended.si_status if ended.si_code == os.CLD_EXITED else -ended.si_status


def _collect_orphan(session: int) -> bool:
    """Collect what has ended of a rank's session; returns whether there may be more to come."""
    try:
        os.waitpid(-session, os.WNOHANG)
    except ChildProcessError:
        return False
    return True


def _prctl(option: int, value: int) -> None:
    """Linux only; elsewhere the processes of a run that dies are left to the system."""
    function = getattr(ctypes.CDLL(None), "prctl", None)
    if function is not None:
        function(option, value, 0, 0, 0)
