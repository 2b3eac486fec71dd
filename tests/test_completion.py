"""Completion of commands, flags and values, in a real shell."""

from __future__ import annotations

import shutil
import subprocess
import sys

import pytest

from cloudmask.commands import COMMANDS
from cloudmask.config import SET_BY_SCRIPTS, Config
from cloudmask.parameters import parameters_of
from tests.paths import ROOT

pytest.importorskip("shtab")
pytestmark = pytest.mark.slow

COMPLETE = """
source "$1"
shift
COMP_WORDS=("$@")
COMP_CWORD=$(($# - 1))
_shtab_cloudmask
printf '%s\\n' "${COMPREPLY[@]}"
"""


@pytest.fixture(scope="module")
def script(tmp_path_factory):
    """The file of `cloudmask completion bash`."""
    path = tmp_path_factory.mktemp("completion") / "cloudmask.bash"
    command = [sys.executable, "-m", "cloudmask", "completion", "bash"]
    path.write_text(
        subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout
    )
    return path


def complete(script, *words: str) -> set[str]:
    """What bash offers for the last word."""
    command = ["bash", "-c", COMPLETE, "bash", str(script), "cloudmask", *words]
    done = subprocess.run(command, check=True, capture_output=True, text=True, timeout=60)
    return set(done.stdout.split())


def test_commands_are_completed(script):
    assert complete(script, "") >= COMMANDS.keys()
    assert complete(script, "s") == {"synthesize", "summarize", "system"}
    assert complete(script, "help", "comp") == {"compare", "completion"}


def test_flags_are_completed(script):
    hidden = set(SET_BY_SCRIPTS)
    flags = {item.flag for item in parameters_of(Config) if item.name not in hidden}
    offered = complete(script, "train", "--")
    assert flags <= offered
    assert "--no-augment" in offered
    assert complete(script, "infer", "--we") == {"--weights"}


def test_values_are_completed(script, tmp_path):
    assert complete(script, "train", "--recipe", "") == {"fast", "reference"}
    assert complete(script, "summarize", "--format", "m") == {"markdown"}
    (tmp_path / "result_0.txt").touch()
    assert complete(script, "check", f"{tmp_path}/res") == {f"{tmp_path}/result_0.txt"}


def test_zsh_reads_its_script():
    command = [sys.executable, "-m", "cloudmask", "completion", "zsh"]
    done = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True)
    assert done.stdout.startswith("#compdef cloudmask\n")
    if shutil.which("zsh"):
        subprocess.run(["zsh", "-n"], input=done.stdout, check=True, text=True, timeout=60)
