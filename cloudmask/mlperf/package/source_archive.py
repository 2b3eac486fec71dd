"""The source of a commit, from the history of this repository."""

import io
import re
import tarfile
from pathlib import Path

from cloudmask.source import NoHistoryError, run_git

_COMMIT = re.compile(r"[0-9a-f]{40}")


def in_history(commit: str) -> bool:
    """Whether the commit is in the history of this repository."""
    if _COMMIT.fullmatch(commit) is None:
        return False
    try:
        return run_git("cat-file", "-e", f"{commit}^{{commit}}") == b""
    except NoHistoryError:
        return False


def unpack_source(commit: str, folder: Path) -> None:
    """Write the files of the commit, and SOURCE_COMMIT, from which a rerun logs the commit.

    Raises:
        ValueError: the commit is not in the history.
    """
    if not in_history(commit):
        raise ValueError(f"commit {commit} is not in the history")
    archive = run_git("archive", "--format=tar", commit)
    with tarfile.open(fileobj=io.BytesIO(archive)) as files:
        files.extractall(folder, filter="data")
    (folder / "SOURCE_COMMIT").write_text(f"{commit}\n", encoding="utf-8")
