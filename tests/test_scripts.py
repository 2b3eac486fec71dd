"""The scripts that find an interpreter and start pytest in it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.paths import ROOT


def bash(script: str, programs: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run bash with these programs before all others."""
    return subprocess.run(
        ["bash", "-euo", "pipefail", "-c", script],
        env={**os.environ, "PATH": f"{programs}:{os.environ['PATH']}", **variables},
        capture_output=True,
        text=True,
        timeout=120,
    )


@pytest.fixture
def prepare(tmp_path: Path):
    """A function that prepares an environment, for a file of requirements, with a python3."""

    def run(requirements: str, python3: str) -> subprocess.CompletedProcess[str]:
        (tmp_path / "requirements.txt").write_text(requirements)
        programs = tmp_path / "bin"
        programs.mkdir()
        (programs / "python3").write_text(f"#!/usr/bin/env bash\n{python3}\n")
        (programs / "python3").chmod(0o755)
        script = f"""
            root={tmp_path}
            source {ROOT}/environment.sh
            prepare_environment $root/requirements.txt
            echo "$PYTHON $PYTHONPATH"
        """
        return bash(script, programs, PYTHONPATH="elsewhere")

    return run


def test_an_interpreter_that_has_the_packages_is_taken(prepare, tmp_path):
    requirements = "# Comment\nnumpy==0.1\n-r more.txt\nPyYAML==1; python_version < '3'\n"
    done = prepare(requirements, f'exec {sys.executable} "$@"')
    assert done.stdout == f"{tmp_path}/bin/python3 {tmp_path}:elsewhere\n"
    assert done.stderr == ""
    assert not (tmp_path / ".venv").exists()


def test_without_a_package_a_virtual_environment_is_made(prepare):
    # It cannot be made here: `python3 -m venv` fails.
    python3 = f'[[ $2 == venv ]] || exec {sys.executable} "$@"; exit 1'
    done = prepare("numpy\nno-such-package==1\n", python3)
    assert done.returncode == 2
    assert done.stderr.endswith("cannot make .venv: install its venv module\n")


def test_an_old_interpreter_is_refused(prepare):
    as_3_9 = "import sys; sys.version_info = (3, 9, 18); exec(sys.argv[1])"
    done = prepare("numpy\n", f'exec {sys.executable} -c "{as_3_9}" "$2"')
    assert done.returncode == 2
    assert done.stderr == (
        "cloudmask: error: Python 3.10 or newer is needed: install it and put it in PATH\n"
    )


@pytest.mark.parametrize(
    ("arguments", "selection"),
    [
        ([], ["-m", "not slow"]),
        (["--all"], ["--fail-on-skip"]),
        (["--all", "-x"], ["--fail-on-skip", "-x"]),
        (["-k", "one or two", "tests"], ["-k", "one or two", "tests"]),
    ],
)
def test_arguments_choose_the_tests(tmp_path, arguments, selection):
    shutil.copy(ROOT / "run_tests.sh", tmp_path)
    (tmp_path / "environment.sh").write_text("prepare_environment() { PYTHON=$root/python; }\n")
    (tmp_path / "python").write_text("#!/usr/bin/env bash\nprintf '%s\\n' \"$@\"\n")
    (tmp_path / "python").chmod(0o755)
    done = subprocess.run([tmp_path / "run_tests.sh", *arguments], capture_output=True, text=True)
    pytest_command = ["-m", "pytest", "--durations=10", "--durations-min=1"]
    assert done.stdout.splitlines() == [*pytest_command, *selection], done.stderr
