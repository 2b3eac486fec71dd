"""Commands that need no Linux start and work where Python lacks what only Linux or POSIX has."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Sequence

import pytest

from cloudmask.cli import main
from cloudmask.model.unet import UNet
from cloudmask.model.weights import save_weights
from tests.paths import ROOT
from tests.scene_files import product_name, write_scene

# Everything that other packages need is imported first: they have code for each system.
ELSEWHERE = """
import concurrent.futures.thread, json, multiprocessing, os, select, signal, subprocess, sys
import mlperf_logging, numpy, psutil, scipy, tqdm, yaml
names, commands = map(json.loads, sys.argv[1:])
if not {command for command, *_ in commands} <= {"check", "summarize"}:
    import h5py, jinja2, matplotlib.pyplot, multiprocessing.resource_tracker
    import torch, torch.distributed, torch.multiprocessing
for module, attributes in names.items():
    for attribute in attributes:
        delattr(sys.modules[module], attribute)
for module in ("fcntl", "grp", "pwd", "resource", "termios"):
    sys.modules[module] = None

def no_privilege(*arguments, **options):
    raise OSError(1314, "a required privilege is not held by the client")

os.symlink = no_privilege
from cloudmask.cli import main
sys.exit(next(filter(None, map(main, commands)), 0))  # up to the first one that fails
"""
OF_LINUX = {
    "os": ["sched_getaffinity", "sched_setaffinity", "posix_fadvise", "posix_fallocate", "waitid"],
    "signal": ["pidfd_send_signal"],
}
OF_POSIX = {
    "os": [
        *OF_LINUX["os"],
        *("O_DIRECTORY", "O_NOFOLLOW", "O_CLOEXEC", "O_NONBLOCK", "getuid", "geteuid", "killpg"),
        *("statvfs", "fstatvfs", "getloadavg", "getpgid", "mkfifo"),
    ],
    "signal": ["SIGUSR1", "SIGUSR2", "SIGHUP", "SIGQUIT", "SIGALRM", "sigwait"],
    "select": ["poll", "epoll"],
}


def cloudmask(missing: dict[str, list[str]], *commands: Sequence[object]) -> str:
    """The output of commands where these attributes are missing; fails unless they succeed."""
    words = [list(map(str, command)) for command in commands]
    done = subprocess.run(
        [sys.executable, "-c", ELSEWHERE, json.dumps(missing), json.dumps(words)],
        cwd=ROOT,
        env={**os.environ, "MPLBACKEND": "agg"},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("missing", [OF_LINUX, OF_POSIX], ids=["macOS", "Windows"])
def test_logs_are_checked_and_summarized(missing):
    log = ROOT / "logs" / "CPU" / "result_0.txt"
    shown = cloudmask(missing, ("check", log), ("summarize", log.parent))
    assert f"SUCCESS  {log}\n" in shown
    assert "Score" in shown


@pytest.mark.slow
@pytest.mark.parametrize("missing", [OF_LINUX, OF_POSIX], ids=["macOS", "Windows"])
def test_scenes_are_masked_evaluated_and_shown(missing, tmp_path):
    weights = tmp_path / "weights_0.safetensors"
    save_weights(weights, UNet(widths=(1, 1, 1, 1)))
    scene = write_scene(tmp_path / "scenes" / product_name(1))
    given = ("--weights", weights, "--scenes", scene.parent)
    evaluation = tmp_path / "evaluation"
    page = ("report", ROOT / "logs" / "CPU", *given, "--evaluation", evaluation)
    shown = cloudmask(
        missing,
        ("infer", *given, "--output", tmp_path / "masks"),
        ("evaluate", *given, "--output", evaluation),
        (*page, "--output", tmp_path / "page"),
    )
    assert "1 mask written" in shown
    assert "report.html" in shown


@pytest.mark.parametrize("command", ["train", "doctor"])
def test_a_timed_run_is_refused_in_one_sentence(monkeypatch, capsys, command):
    monkeypatch.setattr(sys, "platform", "darwin")
    assert main([command]) == 2
    shown = capsys.readouterr().err
    assert " needs Linux, and this is darwin: " in shown
    assert shown.count("\n") == 1
