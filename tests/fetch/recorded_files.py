"""The order in which files are synchronised to disk and renamed."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest


@contextmanager
def record_file_operations(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """Record each fsync and rename, which are carried out as usual."""
    operations: list[str] = []
    fsync, rename = os.fsync, os.rename

    def recorded_fsync(descriptor: int) -> None:
        operations.append(f"fsync {Path(f'/proc/self/fd/{descriptor}').readlink().name}")
        fsync(descriptor)

    def recorded_rename(source: Any, target: Any, **options: Any) -> None:
        rename(source, target, **options)
        operations.append(f"rename {source} to {target}")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", recorded_fsync)
        patch.setattr(os, "rename", recorded_rename)
        yield operations
