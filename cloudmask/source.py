"""The source tree that this program runs from: its folder and its git commit."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

# The folder above the package.
SOURCE_ROOT = Path(__file__).parents[1]
GIT_TIMEOUT = 30.0  # seconds

# They point git to another repository: a git hook exports them to all that it starts.
_OTHER_REPOSITORY = ("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE")


class NoHistoryError(Exception):
    """The source tree has no git history that can be read; the message says why, and the remedy."""


def source_commit() -> str:
    """The commit of the source tree, with '-dirty' if files differ from it, or 'unknown'."""
    try:
        return read_commit()
    except NoHistoryError:
        return "unknown"


def read_commit() -> str:
    """As `source_commit`, but an unknown commit is an error.

    A copy without git history, as in the container's image, has its commit in the file
    `SOURCE_COMMIT`.

    Raises:
        NoHistoryError: there is neither such a file nor a history that git reads.
    """
    try:
        commit = run_git("rev-parse", "HEAD").decode().strip()
    except NoHistoryError:
        file = SOURCE_ROOT / "SOURCE_COMMIT"
        given = file.read_text().strip() if file.is_file() else ""
        if given in ("", "unknown"):
            raise
        return given
    changed = run_git("status", "--porcelain", "--untracked-files=no")
    return commit + ("-dirty" if changed else "")


def run_git(*arguments: str) -> bytes:
    """Run git in the repository of the source tree; returns its output.

    A repository around the source tree is not asked: it knows nothing of this program.

    Raises:
        NoHistoryError: the source tree is no repository, or git failed or is not installed.
    """
    top = Path(os.fsdecode(_git("rev-parse", "--show-toplevel").rstrip(b"\n")))
    if not (top.is_dir() and top.samefile(SOURCE_ROOT)):
        raise NoHistoryError(
            f"{SOURCE_ROOT} is no git clone but lies inside another one, {top}: give "
            "SOURCE_COMMIT to the build, or write the commit to a file SOURCE_COMMIT there"
        )
    return _git(*arguments)


def _git(*arguments: str) -> bytes:
    environment = {name: os.environ[name] for name in os.environ if name not in _OTHER_REPOSITORY}
    try:
        done = subprocess.run(
            ["git", "-C", str(SOURCE_ROOT), *arguments],
            env={**environment, "LC_ALL": "C"},  # its reason in the language of `_reason`
            capture_output=True,
            timeout=GIT_TIMEOUT,
        )
    except FileNotFoundError as error:
        raise NoHistoryError("git is not installed: install it, or give SOURCE_COMMIT") from error
    except (OSError, subprocess.TimeoutExpired) as error:
        raise NoHistoryError(f"git cannot be run ({error})") from error
    if done.returncode != 0:
        raise NoHistoryError(_reason(done.stderr.decode(errors="replace")))
    return done.stdout


def _reason(message: str) -> str:
    """A message of git in one sentence, with the remedy."""
    if "not a git repository" in message:
        return f"{SOURCE_ROOT} is no git clone: give SOURCE_COMMIT to the build"
    if trust := re.search(r"git config --global --add safe\.directory .*", message):
        return (
            f"git does not trust {SOURCE_ROOT}, which another user owns: run "
            f"`{trust.group().strip()}`, which every user and container needs"
        )
    return f"git cannot read its history ({' '.join(message.split())})"
