"""The command line: help, version, spelling, exit codes, closed pipes, missing packages."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

from cloudmask import __version__
from cloudmask.cli import main
from cloudmask.commands import COMMANDS, parser_of
from cloudmask.config import SET_BY_SCRIPTS, configure
from tests.paths import ROOT

LOG = ROOT / "logs" / "CPU" / "result_0.txt"


def python(code: str, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run Python code in a process of its own."""
    return subprocess.run(
        [sys.executable, "-c", code, *arguments],
        cwd=ROOT,
        env={**os.environ, **variables},
        capture_output=True,
        text=True,
        timeout=120,
    )


def test_the_version_is_that_of_the_package(capsys):
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"cloudmask {__version__}\n"


@pytest.mark.parametrize("arguments", [[], ["help"], ["--help"], ["-h"]])
def test_the_overview_has_a_line_for_every_command_and_exit_code(capsys, arguments):
    assert main(arguments) == 0
    shown = capsys.readouterr().out
    assert all(f"\n  {name} " in shown and about in shown for name, about in COMMANDS.items())
    assert all(f"\n  {code} " in shown for code in (*"012345", "128 + n"))


@pytest.mark.parametrize("name", COMMANDS)
def test_the_help_of_a_command_has_its_own_words(capsys, name):
    assert main([name, "--help"]) == 0
    direct = capsys.readouterr().out
    assert direct.startswith(f"usage: cloudmask {name} ")
    assert COMMANDS[name][1:] in direct
    assert main(["help", name]) == 0
    assert capsys.readouterr().out == direct


def test_the_help_of_train_has_the_defaults():
    shown = " ".join(parser_of("train").format_help().split())
    assert "Nodes of the run. Default: 1." in shown
    assert "one for each core of the rank's share. Default: 0." in shown
    assert "Flip and rotate the patches at random. Default: yes." in shown
    assert "for trace viewers; this costs time. --dry-run" in shown


def test_what_scripts_set_is_not_in_the_help_of_train_but_is_understood():
    shown = parser_of("train").format_help()
    assert [name for name in SET_BY_SCRIPTS if name.replace("_", "-") in shown] == []
    assert configure(["--fetch-seconds=3"]).fetch_seconds == 3.0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["chek"], "cloudmask: error: chek is not a command; did you mean check?"),
        (["help", "trian"], "cloudmask help: error: trian is not a command; did you mean train?"),
        (["train", "--batch-sise=2"], "did you mean --batch-size?"),
        (["infer", "--weigths", "x"], "did you mean --weights?"),
        (["check", "--jason", "x"], "did you mean --json?"),
        (["check"], "the following arguments are required: FILE; see cloudmask check --help"),
        (["train", "--seed"], "expected one argument; see cloudmask train --help"),
        (["result", "log", "--seconds=y"], "error: --seconds: 'y' is not a whole number; see "),
        (["evaluate", "--min-sst=warm"], "error: --min-sst: 'warm' is not a number; see "),
        (["train", "--seed=x"], "seed is x (from --seed): give a whole number, 1 or more"),
        (["train", "--seed=0"], "seed is 0 (from --seed): give a whole number, 1 or more"),
        (["train", "--augment=maybe"], "give --augment or --no-augment"),
        (["train", "--no-augment=maybe"], "--no-augment=maybe: give --augment or --no-augment"),
        (["check", "--help=x"], "check: error: --help: takes no value; see cloudmask check --help"),
        (["check", "-h=x"], "check: error: --help: takes no value; see cloudmask check --help"),
        (["check", "--json=yes", "x"], "check: error: --json: takes no value; see cloudmask"),
        (["package"], "required: --layout, --submitter, --runs, --output; see cloudmask package"),
        (["package", "--out"], "package: error: --output: expected one argument; see cloudmask"),
        (["train", "extra"], "unrecognized arguments: extra"),
    ],
)
def test_a_wrong_word_is_one_sentence_that_helps(capsys, arguments, message):
    assert main(arguments) == 2
    shown = capsys.readouterr().err
    assert message in shown
    assert shown.count("\n") == 1


def test_an_empty_variable_is_named(monkeypatch, capsys):
    monkeypatch.setenv("CLOUDMASK_SEED", "")
    assert main(["train"]) == 2
    assert capsys.readouterr().err == (
        "cloudmask train: error: seed is empty (from CLOUDMASK_SEED): give a whole number, "
        "1 or more\n"
    )


@pytest.mark.parametrize(
    ("flags", "augment"),
    [
        (["--augment"], True),
        (["--no-augment"], False),
        (["--augment=false"], False),
        (["--augment=true"], True),
        (["--no-augment=true"], False),
        (["--no-augment=false"], True),
    ],
)
def test_a_switch_needs_no_value(flags, augment):
    assert configure(flags).augment is augment


def test_underscores_in_flags_are_understood_and_values_stay_as_they_are():
    assert configure(["--batch_size=3", "--organisation", "a_b"]).batch_size == 3
    assert configure(["--organisation=--a_b"]).organisation == "--a_b"


def test_results_as_json(capsys, tmp_path):
    assert main(["check", "--json", str(LOG)]) == 0
    (report,) = json.loads(capsys.readouterr().out)
    assert (report["log"], report["accepted"], report["violations"]) == (str(LOG), True, [])
    given = ("--seconds=9", "--user=a", "--start=now")
    assert main(["result", str(LOG), *given, "--json"]) == 0
    figures = json.loads(capsys.readouterr().out)
    assert figures["end_to_end"] == 9
    assert 0.9 <= figures["final_accuracy"] <= 1
    assert main(["summarize", "--json", str(LOG.parent)]) == 0
    assert json.loads(capsys.readouterr().out)["systems"][0]["platform"] == "CPU"


def test_a_file_that_is_no_log_is_said_to_be_none_first(capsys):
    assert main(["check", str(ROOT / "README.md")]) == 1
    assert capsys.readouterr().out.startswith("  this is no log: ")


@pytest.mark.parametrize(
    ("arguments", "unbuffered"),
    [
        (["--help"], ""),
        (["help", "train"], "1"),
        (["summarize", "logs"], ""),
        (["train", "--help"], "1"),
    ],
)
def test_a_reader_that_leaves_is_no_traceback(arguments, unbuffered):
    reader, writer = os.pipe()
    os.close(reader)
    try:
        done = subprocess.run(
            [sys.executable, "-m", "cloudmask", *arguments],
            cwd=ROOT,
            env={**os.environ, "PYTHONUNBUFFERED": unbuffered},
            stdout=writer,
            stderr=subprocess.PIPE,
            text=True,
            timeout=120,
        )
    finally:
        os.close(writer)
    assert done.stderr == ""
    assert done.returncode == 141


NO_PACKAGES = """
import sys
class Refuse:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ("yaml", "torch", "numpy", "docstring_parser"):
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
sys.meta_path.insert(0, Refuse())
from cloudmask.__main__ import main
main()
"""


@pytest.mark.parametrize("arguments", [["check", "x"], ["train"], ["help"]])
def test_without_the_packages_the_command_says_so_in_one_sentence(arguments):
    done = python(NO_PACKAGES, *arguments)
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert " is not installed for " in done.stderr
    assert "pip install -r requirements.txt" in done.stderr


def test_checking_does_not_wait_for_torch():
    code = (
        "import sys; from cloudmask.cli import main; assert main(sys.argv[1:]) == 0; "
        "assert 'torch' not in sys.modules"
    )
    assert python(code, "check", str(LOG)).returncode == 0
    assert python(code, "train", "--print-config").returncode == 0


def test_the_parsers_of_all_commands_do_without_torch_and_matplotlib():
    code = (
        "import sys; from cloudmask.commands import COMMANDS, parser_of\n"
        "for name in COMMANDS: parser_of(name)\n"
        "assert not {'torch', 'matplotlib', 'mlperf_logging'} & sys.modules.keys()"
    )
    done = python(code)
    assert done.returncode == 0, done.stderr
