"""Documents name files that exist, and draw the imports that there are."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import grimp
import pytest

from docs import generate
from tests.paths import ROOT

FOLDERS = (".", "docs", "docs/benchmark", "benchmarks", "logs", "upstream")
DOCUMENTS = sorted(
    str(path.relative_to(ROOT)) for folder in FOLDERS for path in (ROOT / folder).glob("*.md")
)
PLACEHOLDERS = {
    *("config_SYSTEM.sh", "config_NAME.sh", "cloudmask/SYSTEM/DESCRIPTOR/"),
    "cloudmask/commands/NAME.py",
}
# Below the others: the picture leaves out the arrows to them.
FOUNDATION = {
    "config",
    "parser",
    "parameters",
    "value_types",
    "tables",
    "files",
    "console",
    "source",
    "errors",
}


@pytest.mark.parametrize("document", DOCUMENTS)
def test_every_path_that_a_document_names_exists(document):
    text = (ROOT / document).read_text()
    named = set(re.findall(r"`((?:cloudmask|tests|benchmarks|docs)/[\w./]*)`", text))
    named |= set(re.findall(r"`((?:config|run)_\w+\.sh)`", text))
    assert [path for path in sorted(named - PLACEHOLDERS) if not (ROOT / path).exists()] == []


def test_the_story_of_a_patch_names_files_of_the_package():
    story = (ROOT / "docs/architecture.md").read_text().split("## One patch")[1]
    named = set(re.findall(r"`((?:\w+/)+\w+\.py)`", story.split("## Where")[0]))
    assert len(named) > 10
    missing = [path for path in sorted(named) if not (ROOT / "cloudmask" / path).exists()]
    assert missing == []


@pytest.mark.parametrize("name", ["parameters.md", "commands.md"])
def test_the_lists_made_from_the_code_are_current(tmp_path, name):
    generate.main(tmp_path)
    current = (tmp_path / name).read_text(encoding="utf-8")
    written = (ROOT / "docs" / name).read_text(encoding="utf-8")
    assert written == current, "run: python -m docs.generate"


def drawn_arrows() -> set[tuple[str, str]]:
    """The arrows of the picture in docs/architecture.md."""
    picture = re.search(r"```mermaid\n(.*?)```", (ROOT / "docs/architecture.md").read_text(), re.S)
    assert picture is not None
    lines = re.findall(r"^ +(\w+) --> ([\w &]+)$", picture[1], re.MULTILINE)
    return {(above, below) for above, targets in lines for below in targets.split(" & ")}


def imports_between_folders() -> set[tuple[str, str]]:
    """Pairs of a folder and one that it imports from."""
    graph = grimp.build_graph("cloudmask", cache_dir=None)
    pairs = set()
    for module in graph.modules:
        for imported in graph.find_modules_directly_imported_by(module):
            above, below = (name.split(".")[1:2] for name in (module, imported))
            if above and below and above != below:
                pairs.add((above[0], below[0]))
    return {(a, b) for a, b in pairs if a != "__main__" and not {a, b} & FOUNDATION}


def reachable(arrows: set[tuple[str, str]]) -> set[tuple[str, str]]:
    """Every pair that the arrows lead along."""
    closure = set(arrows)
    while more := {(a, d) for a, b in closure for c, d in arrows if b == c} - closure:
        closure |= more
    return closure


def test_the_picture_of_the_folders_shows_the_imports():
    drawn, real = drawn_arrows(), imports_between_folders()
    assert sorted(drawn - real) == []
    assert sorted(real - reachable(drawn)) == []


def test_every_folder_is_in_the_table():
    text = (ROOT / "docs/architecture.md").read_text()
    folders = {path.parent.name for path in Path(ROOT / "cloudmask").glob("*/__init__.py")}
    assert [folder for folder in sorted(folders) if f"| `{folder}/` |" not in text] == []


def literal_text() -> str:
    """The string literals of the package, without the values in them, and the scripts."""
    pieces = []
    for path in [*(ROOT / "cloudmask").rglob("*.py"), *(ROOT / "install").glob("*.py")]:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                pieces.append(node.value)
    return "\n".join(pieces + [path.read_text() for path in ROOT.glob("*.sh")])


def test_every_message_in_the_troubleshooting_page_is_printed_somewhere():
    page = (ROOT / "docs/troubleshooting.md").read_text()
    messages = re.findall(r"^\| `(.*?)` \|", page, re.MULTILINE)
    assert len(messages) > 20
    literals = literal_text()
    parts = [part.strip() for message in messages for part in message.split("...")]
    assert [part for part in parts if part not in literals] == []


@pytest.mark.parametrize("document", DOCUMENTS)
def test_every_link_between_documents_leads_to_a_file_and_a_heading_of_it(document):
    path = ROOT / document
    links = re.findall(r"\]\(([^)#:]*)(?:#([\w-]+))?\)", path.read_text())
    broken = []
    for name, anchor in links:
        target = path.parent / name if name else path
        if not target.exists() or (anchor and anchor not in anchors_of(target)):
            broken.append(f"{name}#{anchor}")
    assert broken == []


def anchors_of(document: Path) -> set[str]:
    """The anchors that Markdown readers make of the headings."""
    headings = re.findall(r"^#+ (.*)$", document.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading).lower().replace(" ", "-") for heading in headings}
