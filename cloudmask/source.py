"""The source tree that this program runs from: its folder and its git commit."""

from __future__ import annotations

import subprocess
from pathlib import Path

# The folder above the package.
SOURCE_ROOT = Path(__file__).parents[1]
GIT_TIMEOUT = 30.0  # seconds


def source_commit() -> str:
    """The commit of the source tree, with '-dirty' if files differ from it, or 'unknown'.

    A copy without git history, as in the container's image, has its commit in the file
    `SOURCE_COMMIT`.
    """
    commit = run_git("rev-parse", "HEAD")
    if commit is None:
        file = SOURCE_ROOT / "SOURCE_COMMIT"
        return (file.read_text().strip() if file.is_file() else "") or "unknown"
    changed = run_git("status", "--porcelain", "--untracked-files=no")
    return commit.decode().strip() + ("-dirty" if changed else "")


def run_git(*arguments: str) -> bytes | None:
    """Run git in the source tree; returns its output, or None if it failed or is not installed."""
    try:
        done = subprocess.run(
            ["git", "-C", str(SOURCE_ROOT), *arguments], capture_output=True, timeout=GIT_TIMEOUT
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout if done.returncode == 0 else None
