"""The source of a commit, from the history of this repository."""

import io
import re
import tarfile
from pathlib import Path

from cloudmask.source import run_git

_COMMIT = re.compile(r"[0-9a-f]{40}")


def in_history(commit: str) -> bool:
    """Whether the commit is in the history of this repository."""
    known = _COMMIT.fullmatch(commit) is not None
    return known and run_git("cat-file", "-e", f"{commit}^{{commit}}") == b""


def unpack_source(commit: str, folder: Path) -> None:
    """Write the files of the commit, and SOURCE_COMMIT, from which a rerun logs the commit.

    Raises:
        ValueError: the commit is not in the history.
    """
    archive = run_git("archive", "--format=tar", commit) if in_history(commit) else None
    if archive is None:
        raise ValueError(f"commit {commit} is not in the history")
    with tarfile.open(fileobj=io.BytesIO(archive)) as files:
        files.extractall(folder, filter="data")
    (folder / "SOURCE_COMMIT").write_text(f"{commit}\n", encoding="utf-8")
