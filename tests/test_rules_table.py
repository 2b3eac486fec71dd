"""The table of rules names tests and files that there are, and leaves no rule without either."""

from __future__ import annotations

import re

from tests.paths import ROOT

TEXT = (ROOT / "docs/rules.md").read_text(encoding="utf-8")
ROWS = [
    [cell.strip() for cell in line.strip("|").split(" | ")]
    for line in TEXT.splitlines()
    if line.startswith("| ") and not line.startswith(("| rule", "| ---"))
]
TEST = re.compile(r"`(tests/[\w/]+\.py)::(\w+)`")


def test_every_rule_has_a_test_or_is_the_submitters():
    assert len(ROWS) > 30
    assert [row for row in ROWS if len(row) != 3] == []
    assert [row[0] for row in ROWS if not (TEST.fullmatch(row[2]) or row[2] == "*submitter*")] == []


def test_the_tests_it_names_exist():
    named = TEST.findall(TEXT)
    missing = [
        (file, name)
        for file, name in named
        if not (ROOT / file).is_file() or f"def {name}(" not in (ROOT / file).read_text()
    ]
    assert missing == []
