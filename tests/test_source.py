"""The commit that a log gives for the program."""

from __future__ import annotations

import subprocess

import pytest

from cloudmask import source


@pytest.fixture
def tree(tmp_path, monkeypatch):
    """A source tree with one file and no history."""
    (tmp_path / "file.py").write_text("1\n")
    monkeypatch.setattr(source, "SOURCE_ROOT", tmp_path)
    return tmp_path


def commit(tree):
    """Commit every file of the tree; returns the commit."""
    name = ("-c", "user.name=A", "-c", "user.email=a@b.c")
    for arguments in (["init", "-q"], ["add", "."], [*name, "commit", "-q", "-m", "One"]):
        subprocess.run(["git", "-C", tree, *arguments], check=True)
    head = ["git", "-C", tree, "rev-parse", "HEAD"]
    return subprocess.run(head, capture_output=True, text=True, check=True).stdout.strip()


def test_the_commit_is_that_of_the_source_tree(tree):
    head = commit(tree)
    assert len(head) == 40
    assert source.source_commit() == head


def test_changed_files_make_the_commit_dirty_and_untracked_ones_do_not(tree):
    head = commit(tree)
    (tree / "new.py").touch()
    assert source.source_commit() == head
    (tree / "file.py").write_text("2\n")
    assert source.source_commit() == f"{head}-dirty"


def test_a_copy_without_history_has_its_commit_in_a_file(tree):
    assert source.source_commit() == "unknown"
    (tree / "SOURCE_COMMIT").write_text("abc\n")
    assert source.source_commit() == "abc"
    (tree / "SOURCE_COMMIT").write_text("\n")
    assert source.source_commit() == "unknown"


def test_without_git_the_commit_is_unknown(tree, monkeypatch):
    commit(tree)
    monkeypatch.setenv("PATH", "")
    assert source.source_commit() == "unknown"
