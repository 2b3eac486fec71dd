"""The source that ran, from the history of this repository."""

from __future__ import annotations

import io
import re
import subprocess
import tarfile
from pathlib import Path

from cloudmask.mlperf.log.logger import SOURCE_ROOT

_COMMIT = re.compile(r"[0-9a-f]{40}")


def at_hand(commit: str) -> bool:
    """Whether the history holds the commit."""
    return bool(_COMMIT.fullmatch(commit)) and _git("cat-file", "-e", f"{commit}^{{commit}}") == b""


def unpack_source(commit: str, folder: Path) -> None:
    """The files of the commit, and its name in SOURCE_COMMIT, from which a rerun logs it.

    Raises:
        ValueError: the history does not hold the commit (see `at_hand`).
    """
    archive = _git("archive", "--format=tar", commit) if at_hand(commit) else None
    if archive is None:
        raise ValueError(f"commit {commit} is not at hand")
    with tarfile.open(fileobj=io.BytesIO(archive)) as files:
        files.extractall(folder, filter="data")
    (folder / "SOURCE_COMMIT").write_text(f"{commit}\n", encoding="utf-8")


def _git(*arguments: str) -> bytes | None:
    """What git prints; None if it fails or is not there."""
    try:
        done = subprocess.run(["git", "-C", str(SOURCE_ROOT), *arguments], capture_output=True)
    except OSError:
        return None
    return done.stdout if done.returncode == 0 else None
