"""Commands that need no Linux start and work where Python lacks what only Linux or POSIX has."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

from cloudmask.cli import main
from cloudmask.model.unet import UNet
from cloudmask.model.weights import save_weights
from tests.paths import ROOT
from tests.scene_files import product_name, write_scene

# Everything that other packages need is imported first: they have code for each system.
ELSEWHERE = """
import concurrent.futures.thread, json, multiprocessing, os, select, shutil, signal, subprocess
import sys
import mlperf_logging, numpy, psutil, scipy, tqdm, yaml
if sys.argv[2] not in ("check", "summarize"):
    import h5py, jinja2, matplotlib.pyplot, multiprocessing.resource_tracker
    import torch, torch.distributed, torch.multiprocessing
names = json.loads(sys.argv[1])
for module, attributes in names.items():
    for attribute in attributes:
        delattr(sys.modules[module], attribute)
# Python chose these by what was there.
os.process_cpu_count = os.cpu_count
if "O_NONBLOCK" in names["os"]:
    shutil._use_fd_functions = False
for module in ("fcntl", "grp", "pwd", "resource", "termios"):
    sys.modules[module] = None

def no_privilege(*arguments, **options):
    raise OSError(1314, "a required privilege is not held by the client")

os.symlink = no_privilege
from cloudmask.cli import main
sys.exit(main(sys.argv[2:]))
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


def cloudmask(missing: dict[str, list[str]], *arguments: object) -> str:
    """The output of a command where these attributes are missing; fails unless it succeeds."""
    done = subprocess.run(
        [sys.executable, "-c", ELSEWHERE, json.dumps(missing), *map(str, arguments)],
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
    assert cloudmask(missing, "check", log).endswith(f"SUCCESS  {log}\n")
    assert "Score" in cloudmask(missing, "summarize", log.parent)


@pytest.mark.slow
@pytest.mark.parametrize("missing", [OF_LINUX, OF_POSIX], ids=["macOS", "Windows"])
def test_scenes_are_masked_evaluated_and_shown(missing, tmp_path):
    weights = tmp_path / "weights_0.safetensors"
    save_weights(weights, UNet(widths=(1, 1, 1, 1)))
    scene = write_scene(tmp_path / "scenes" / product_name(1))
    given = ("--weights", weights, "--scenes", scene.parent)
    assert "1 mask written" in cloudmask(missing, "infer", *given, "--output", tmp_path / "masks")
    evaluation = tmp_path / "evaluation"
    cloudmask(missing, "evaluate", *given, "--output", evaluation)
    page = ("report", ROOT / "logs" / "CPU", *given, "--evaluation", evaluation)
    assert "report.html" in cloudmask(missing, *page, "--output", tmp_path / "page")


@pytest.mark.parametrize("command", ["train", "doctor"])
def test_a_timed_run_is_refused_in_one_sentence(monkeypatch, capsys, command):
    monkeypatch.setattr(sys, "platform", "darwin")
    assert main([command]) == 2
    shown = capsys.readouterr().err
    assert " needs Linux, and this is darwin: " in shown
    assert shown.count("\n") == 1
