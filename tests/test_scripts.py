"""The scripts that find an interpreter and start pytest in it."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.paths import ROOT


@pytest.fixture
def prepare(tmp_path: Path):
    """A function that prepares an environment, for a file of requirements, with these programs."""
    root = tmp_path / "a folder"
    root.mkdir()
    shutil.copytree(ROOT / "install", root / "install")
    programs = tmp_path / "bin"
    programs.mkdir()

    def run(requirements: str, **interpreters: str) -> subprocess.CompletedProcess[str]:
        (root / "requirements.txt").write_text(requirements)
        for name, text in interpreters.items():
            write_program(programs / name, text)
        script = f"""
            root="{root}"
            source "{ROOT}/environment.sh"
            prepare_environment "$root/requirements.txt"
            echo "$PYTHON|$PYTHONPATH"
        """
        return subprocess.run(
            ["/bin/bash", "-euo", "pipefail", "-c", script],
            env={"PATH": str(programs), "PYTHONPATH": f"{tmp_path}/elsewhere"},
            capture_output=True,
            text=True,
            timeout=120,
        )

    return run


def write_program(path: Path, text: str) -> None:
    """A shell script of this text."""
    path.write_text(f"#!/bin/bash\n{text}\n")
    path.chmod(0o755)


THIS_PYTHON = f"""exec '{sys.executable}' "$@" """
# Tells another version when it is asked for it.
PYTHON_3_9 = f"""[[ $1 == -c ]] || exit 9
exec '{sys.executable}' -c "import sys; sys.version_info = (3, 9, 18); exec(sys.argv[1])" "$2"
"""


def test_an_interpreter_that_has_the_packages_is_taken(prepare, tmp_path):
    requirements = "# Comment\nnumpy==0.1\n-r more.txt\nPyYAML==1; python_version < '3'\n"
    done = prepare(requirements, python3=THIS_PYTHON)
    folder = tmp_path / "a folder"
    assert done.stdout == f"{tmp_path}/bin/python3|{folder}:{tmp_path}/elsewhere\n"
    assert done.stderr == ""
    assert not (folder / ".venv").exists()


def test_without_a_package_a_virtual_environment_is_made(prepare, tmp_path):
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "venv.py").write_text("raise SystemExit('no ensurepip')")
    done = prepare("numpy\nno-such-package==1\n", python3=THIS_PYTHON)
    assert done.returncode == 2
    assert "cannot make .venv: install its venv module" in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert "no ensurepip" in (tmp_path / "a folder" / ".venv" / "pip.log").read_text()


def test_an_old_interpreter_is_passed_over_for_a_newer_one(prepare, tmp_path):
    done = prepare("numpy\n", **{"python3": PYTHON_3_9, "python3.12": THIS_PYTHON})
    assert done.stdout.startswith(f"{tmp_path}/bin/python3.12|"), done.stderr


def test_an_old_interpreter_alone_is_refused(prepare):
    done = prepare("numpy\n", python3=PYTHON_3_9)
    assert done.returncode == 2
    assert done.stderr == (
        "cloudmask: error: Python 3.10 to 3.13 is needed: install it and put it in PATH\n"
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


def attending(script: str) -> tuple[int, str]:
    """Exit code and output of a script that heeds stop signals."""
    done = subprocess.run(
        [
            "/bin/bash",
            "-euo",
            "pipefail",
            "-c",
            f"source stop_signals.sh; heed_stop_signals{script}",
        ],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=50,
    )
    assert done.stderr == ""
    return done.returncode, done.stdout


def test_a_stop_signal_while_a_command_is_being_started_ends_that_too():
    script = r"""
        set -o functrace
        # When it has been started and its number is not yet known.
        trap '[[ $BASH_COMMAND != "child=\$"* ]] || kill -TERM $$' DEBUG
        run_attended sleep 60 || echo "sleep: $?"
    """
    assert attending(script) == (0, "sleep: 143\n")


def test_a_stop_signal_is_not_lost_if_the_command_succeeds_all_the_same():
    script = r"""
        run_attended bash -c 'trap "" USR1; kill -USR1 $PPID' || echo "command: $?"
    """
    assert attending(script) == (0, "command: 138\n")


def test_a_stop_signal_outside_of_commands_ends_the_script():
    script = r"""
        run_attended true
        kill -INT $$
        echo "not reached"
    """
    assert attending(script) == (130, "")


def test_a_stop_signal_after_a_failure_ends_the_next_command_only():
    script = r"""
        run_attended false || echo "false: $?"
        kill -TERM $$
        echo "in good order"
        run_attended sleep 60 || echo "sleep: $?"
    """
    assert attending(script) == (0, "false: 1\nin good order\nsleep: 143\n")
