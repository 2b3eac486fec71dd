"""Rank processes and their workers are gone when their supervisor has killed them."""

from __future__ import annotations

import os
import subprocess
import sys

KILLED_RANK = """
import os, signal
import psutil
from cloudmask.distributed.rank_processes import RankProcesses, become_subreaper

become_subreaper()
processes = RankProcesses(["-c", os.environ["RANK_PROGRAM"]], [dict(os.environ)])
with open(os.environ["FIFO"]) as ready:
    worker = psutil.Process(int(ready.read()))
rank = processes.processes[0].pid
os.kill(rank, signal.SIGKILL)
os.waitid(os.P_PID, rank, os.WEXITED | os.WNOWAIT)
assert processes.exit_codes() == [-9], processes.exit_codes()
assert worker.is_running()
processes.kill()
assert not worker.is_running()
assert psutil.Process().children(recursive=True) == []
"""
RANK = """
import os, subprocess, sys, time
subprocess.Popen([sys.executable, "-c", os.environ["WORKER_PROGRAM"]])
time.sleep(120)
"""
WORKER = """
import os, signal, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
with open(os.environ["FIFO"], "w") as ready:
    ready.write(str(os.getpid()))
time.sleep(120)
"""


def test_a_killed_rank_leaves_no_worker_behind(tmp_path):
    os.mkfifo(tmp_path / "fifo")
    variables = {"RANK_PROGRAM": RANK, "WORKER_PROGRAM": WORKER, "FIFO": str(tmp_path / "fifo")}
    done = subprocess.run(
        [sys.executable, "-c", KILLED_RANK],
        env={**os.environ, **variables},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
