"""The source that ran, from the history of this repository."""

from __future__ import annotations

import io
import re
import tarfile
from pathlib import Path

from cloudmask.source import run_git

_COMMIT = re.compile(r"[0-9a-f]{40}")


def at_hand(commit: str) -> bool:
    """Whether the history holds the commit."""
    return (
        bool(_COMMIT.fullmatch(commit)) and run_git("cat-file", "-e", f"{commit}^{{commit}}") == b""
    )


def unpack_source(commit: str, folder: Path) -> None:
    """The files of the commit, and its name in SOURCE_COMMIT, from which a rerun logs it.

    Raises:
        ValueError: the history does not hold the commit (see `at_hand`).
    """
    archive = run_git("archive", "--format=tar", commit) if at_hand(commit) else None
    if archive is None:
        raise ValueError(f"commit {commit} is not at hand")
    with tarfile.open(fileobj=io.BytesIO(archive)) as files:
        files.extractall(folder, filter="data")
    (folder / "SOURCE_COMMIT").write_text(f"{commit}\n", encoding="utf-8")
