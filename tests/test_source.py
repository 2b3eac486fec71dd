"""The commit that a log gives for the program."""

from __future__ import annotations

import subprocess

import pytest

from cloudmask import source


@pytest.fixture
def tree(tmp_path, monkeypatch):
    """A source tree with one file and no history."""
    folder = tmp_path / "a tree"
    folder.mkdir()
    (folder / "file.py").write_text("1\n")
    monkeypatch.setattr(source, "SOURCE_ROOT", folder)
    return folder


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


def reason():
    """Why the commit is unknown."""
    assert source.source_commit() == "unknown"
    with pytest.raises(source.NoHistoryError) as caught:
        source.read_commit()
    return str(caught.value)


def test_without_git_the_commit_is_unknown(tree, monkeypatch):
    commit(tree)
    monkeypatch.setenv("PATH", "")
    assert reason().startswith("git is not installed")


def test_the_commit_of_a_repository_around_the_source_tree_does_not_count(tree):
    commit(tree.parent)
    assert reason().startswith(f"{tree} is no git clone but lies inside another one, {tree.parent}")
    (tree / "SOURCE_COMMIT").write_text("abc\n")
    assert source.source_commit() == "abc"


def test_a_git_hook_does_not_lend_its_repository(tree, tmp_path, monkeypatch):
    other = tmp_path / "other"
    other.mkdir()
    (other / "file").touch()
    hooked, head = commit(other), commit(tree)
    assert hooked != head
    monkeypatch.setenv("GIT_DIR", str(other / ".git"))
    assert source.source_commit() == head


def test_a_clone_of_another_user_names_the_owner_and_the_remedy(tree, monkeypatch):
    head = commit(tree)
    monkeypatch.setenv("GIT_TEST_ASSUME_DIFFERENT_OWNER", "1")  # git's own
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(tree.parent / "gitconfig"))
    monkeypatch.setenv("GIT_CONFIG_NOSYSTEM", "1")
    monkeypatch.setenv("LC_ALL", "de_DE.UTF-8")
    message = reason()
    assert message.startswith(f"git does not trust {tree}, which another user owns: run `git ")
    command = message.split("`")[1]
    subprocess.run(command, shell=True, check=True)
    assert source.source_commit() == head
