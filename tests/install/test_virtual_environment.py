"""The environment .venv of a checkout, made by the real pip from indexes on loopback."""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from install.virtual_environment import InstallError, VirtualEnvironment
from tests.install.conftest import nvidia_smi
from tests.paths import ROOT

CLOSED = "http://127.0.0.1:9"  # nobody listens there
NOBODY = 65534


def complete(root: Path) -> None:
    """Install into the checkout."""
    VirtualEnvironment(root, root / "requirements.txt").complete()


def installed_torch(root: Path) -> str:
    """The version of torch in the checkout's environment."""
    command = "from importlib.metadata import version; print(version('torch'))"
    done = subprocess.run([root / ".venv/bin/python", "-c", command], stdout=subprocess.PIPE)
    return done.stdout.decode().strip()


def stand_in(root: Path) -> Path:
    """An environment with this interpreter that works, as somebody else might have made it."""
    folder = root / ".venv"
    (folder / "bin").mkdir(parents=True)
    (folder / "bin" / "python").symlink_to(sys.executable)
    return folder


@pytest.mark.slow
def test_the_scripts_install_the_command_under_a_path_with_a_space(checkout, capfd):
    shutil.copytree(ROOT / "install", checkout / "install")
    # The address of PyTorch's index stands in the code.
    url = os.environ["PIP_INDEX_URL"].replace("/pypi", "/whl/cpu")
    script = """
        root=$PWD
        source "$1"
        prepare_environment requirements.txt
        name_commands
        cd /
        source "$root/.venv/bin/activate"
        cloudmask
    """
    for _ in range(2):
        subprocess.run(
            ["bash", "-euo", "pipefail", "-c", script, "bash", ROOT / "environment.sh"],
            cwd=checkout,
            env={**os.environ, "TORCH_INDEX": url, "LC_ALL": "de_DE.UTF-8"},
            check=True,
        )
    shown, errors = capfd.readouterr()
    lines = shown.splitlines()
    assert lines[0] == (
        f"installing requirements.txt into .venv; torch for cpu from {url}: TORCH_INDEX names its "
        "index; about 0.3 GB to download"
    )
    assert lines[1:] == ["cloudmask itself"] * 2  # the second time nothing is installed
    activate = f"{checkout}/.venv/bin/activate".replace(" ", "\\ ")
    assert f"other commands: source {activate}, then cloudmask help" in errors
    assert installed_torch(checkout) == "2.13.0+cpu"


@pytest.mark.slow
def test_the_gpu_decides_which_index_torch_comes_from(checkout, tmp_path, monkeypatch, capsys):
    nvidia_smi(tmp_path, monkeypatch, "echo '550.54.15, 7.0'")
    complete(checkout)
    shown = capsys.readouterr().out
    assert "torch for cu126 from" in shown
    assert "compute capability 7.0" in shown
    assert installed_torch(checkout) == "2.13.0+cu126"

    # What is there is kept, also on a machine without a GPU, and in new requirements.
    nvidia_smi(tmp_path, monkeypatch, "exit 9")
    with (checkout / "requirements.txt").open("a") as file:
        file.write("# more\n")
    complete(checkout)
    assert capsys.readouterr().out == "installing requirements.txt into .venv\n"
    assert installed_torch(checkout) == "2.13.0+cu126"


@pytest.mark.slow
def test_where_pytorchs_index_cannot_be_reached_that_of_pip_is_used(checkout, monkeypatch, capsys):
    monkeypatch.setattr("install.torch_build.PYTORCH_INDEX", CLOSED)
    complete(checkout)
    said = f"{CLOSED}/cpu cannot be reached, or has no torch==2.13.0+cpu: torch comes from"
    assert said in capsys.readouterr().out
    assert installed_torch(checkout) == "2.13.0"

    # An index that was asked for is another matter, and the environment remains as it is.
    monkeypatch.setenv("TORCH_INDEX", f"{CLOSED}/cu126")
    with pytest.raises(InstallError, match=r"TORCH_INDEX .*/cu126 cannot be reached, or has no"):
        complete(checkout)
    assert installed_torch(checkout) == "2.13.0"


@pytest.mark.slow
def test_without_an_index_nothing_is_lost_and_the_next_start_goes_on(checkout, monkeypatch, capsys):
    index = os.environ["PIP_INDEX_URL"]
    monkeypatch.setenv("PIP_INDEX_URL", CLOSED)
    with pytest.raises(InstallError, match="no package index was reached; connect this machine"):
        complete(checkout)
    kept = checkout / ".venv" / "kept"
    kept.touch()
    monkeypatch.setenv("PIP_INDEX_URL", index)
    complete(checkout)
    assert kept.exists()
    assert "remaking" not in capsys.readouterr().out


@pytest.mark.slow
@pytest.mark.parametrize("fault", ["broken off", "no interpreter", "no pip"])
def test_an_incomplete_environment_of_ours_is_made_again(checkout, fault, capsys):
    folder = checkout / ".venv"
    if fault == "broken off":
        stand_in(checkout)
        (folder / "unfinished").touch()
    elif fault == "no interpreter":
        (folder / "bin").mkdir(parents=True)
        (folder / "bin" / "python").symlink_to("/opt/gone/bin/python3")
    else:
        subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder], check=True)
    complete(checkout)
    assert "remaking .venv, which is incomplete" in capsys.readouterr().out
    assert installed_torch(checkout) == "2.13.0+cpu"
    assert [path.name for path in checkout.glob(".venv.old*")] == []


def test_an_incomplete_environment_of_somebody_else_is_refused(checkout):
    work = checkout / ".venv" / "lib" / "python3.11" / "site-packages" / "xarray-1.dist-info"
    work.mkdir(parents=True)
    with pytest.raises(InstallError, match="was not made by this script: move it away"):
        complete(checkout)
    assert work.exists()


def test_a_linked_environment_is_used_as_it_is_or_refused(checkout, tmp_path):
    shutil.copytree(ROOT / "install", checkout / "install")
    elsewhere = stand_in(tmp_path / "elsewhere")
    (checkout / ".venv").symlink_to(elsewhere)
    (checkout / "requirements.txt").write_text("pip\n")
    complete(checkout)
    (checkout / "requirements.txt").write_text("pip\nno-such-package\n")
    with pytest.raises(InstallError, match=r"is a link to .*, which lacks packages"):
        complete(checkout)
    assert [path.name for path in elsewhere.iterdir()] == ["bin"]


def test_a_second_installation_waits_for_the_first_and_finds_its_work(checkout):
    environment = VirtualEnvironment(checkout, checkout / "requirements.txt")
    with (checkout / ".venv.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        shutil.copytree(ROOT / "install", checkout / "install")
        second = subprocess.Popen(
            [sys.executable, checkout / "install/__main__.py", checkout / "requirements.txt"],
            env={**os.environ, "PYTHONPATH": str(checkout)},
            stdout=subprocess.PIPE,
            text=True,
        )
        assert second.stdout is not None
        assert second.stdout.readline() == "waiting for another installation into .venv\n"
        stand_in(checkout)
        environment.marker().touch()
    output, _ = second.communicate(timeout=60)
    assert (second.returncode, output) == (0, "")


def test_a_checkout_that_cannot_be_written_is_refused(checkout, tmp_path):
    checkout.chmod(0o555)
    root = os.geteuid() == 0
    if root:
        for folder in (tmp_path, *tmp_path.parents[:3]):
            folder.chmod(folder.stat().st_mode | 0o011)
        os.seteuid(NOBODY)
    try:
        with pytest.raises(InstallError, match=r"cannot be written .Permission denied., so"):
            complete(checkout)
    finally:
        if root:
            os.seteuid(0)
