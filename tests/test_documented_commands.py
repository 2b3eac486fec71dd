"""The commands of README and docs: every flag exists, and blocks marked `sh` run as written.

The other blocks need what no test has: the real data, a cluster, a container engine.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from cloudmask.commands import COMMANDS, parser_of
from tests.paths import ROOT
from tests.runs import narrow_to_target

DOCUMENTS = [ROOT / "README.md", *sorted(ROOT.glob("docs/*.md"))]
NOTEBOOKS = sorted(ROOT.glob("docs/notebooks/*.ipynb"))


def blocks(document: Path, language: str) -> list[str]:
    """The fenced blocks of a document that are marked with a language."""
    return re.findall(
        rf"^```{language}\n(.*?)^```$", document.read_text(), re.DOTALL | re.MULTILINE
    )


def commands_in(code: str) -> list[list[str]]:
    """The words after `cloudmask` of each line that starts with it, without a trailing `...`."""
    lines = re.findall(r"^cloudmask ([a-z]+(?: .*)?)$", code, re.MULTILINE)
    return [shlex.split(line.removesuffix(" ..."), comments=True) for line in lines]


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_every_command_in_a_block_is_one_that_the_parsers_accept(document):
    for command, *words in commands_in("\n".join(blocks(document, "(?:sh)?"))):
        words = [word for word in words if not word.startswith("...")]
        assert parser_of(command).parse_arguments(words)


def test_every_command_in_a_sentence_exists_and_so_do_its_flags():
    mentioned = set()
    for document in DOCUMENTS:
        for code in re.findall(r"`([^`\n]+)`", document.read_text()):
            for command, *words in commands_in(code):
                mentioned.add(command)
                flags = {word.split("=")[0] for word in words if word.startswith("--")}
                assert flags - set(parser_of(command).format_help().split()) == set()
    assert mentioned >= COMMANDS.keys() - {"completion", "help"}


@pytest.fixture(scope="module")
def after_the_quick_start(tmp_path_factory) -> Path:
    """A checkout in a folder with a space, in which one timed run was done."""
    folder = tmp_path_factory.mktemp("a folder") / "cloudmask"
    ignored = shutil.ignore_patterns(".git", ".venv", "data", ".*_cache", "__pycache__")
    shutil.copytree(ROOT, folder, ignore=ignored)
    done = subprocess.run(
        ["./run_and_time.sh", "--target-accuracy=0.01", "--epochs=1"],
        cwd=folder,
        env=environment(SYNTHESIZE_FLAGS="--training-scenes 2 --inference-scenes 1"),
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert "weights logs/CPU/weights_" in done.stdout, done.stderr
    return folder


def environment(**variables: str) -> dict[str, str]:
    """Where `cloudmask` is in PATH, and ranks train a narrow network."""
    scripts = Path(sys.executable).parent
    path = f"{scripts}{os.pathsep}{os.environ['PATH']}"
    return {**os.environ, **narrow_to_target(PATH=path, LC_ALL="C.UTF-8", **variables)}


@pytest.mark.slow
@pytest.mark.parametrize(
    "document", [path for path in DOCUMENTS if blocks(path, "sh")], ids=lambda path: path.name
)
def test_the_commands_of_a_document_run_as_written(after_the_quick_start, document):
    for block in blocks(document, "sh"):
        subprocess.run(
            ["bash", "-euc", block],
            cwd=after_the_quick_start,
            env=environment(),
            timeout=600,
            check=True,
        )
    for block in blocks(document, "python"):
        subprocess.run(
            [sys.executable, "-c", block], cwd=after_the_quick_start, timeout=600, check=True
        )


@pytest.mark.slow
@pytest.mark.parametrize(
    "notebook", sorted(ROOT.glob("docs/**/*.ipynb")), ids=lambda path: path.name
)
def test_the_code_of_a_notebook_runs_as_one_script_and_its_outputs_are_kept(
    after_the_quick_start, notebook
):
    cells = [
        cell for cell in json.loads(notebook.read_text())["cells"] if cell["cell_type"] == "code"
    ]
    assert [cell["execution_count"] for cell in cells] == list(range(1, len(cells) + 1))
    script = "\n".join("".join(cell["source"]) for cell in cells)
    subprocess.run(
        [sys.executable, "-c", script],
        cwd=after_the_quick_start,
        env={**os.environ, "MPLBACKEND": "Agg"},
        timeout=600,
        check=True,
    )
