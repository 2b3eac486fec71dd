"""The stand-ins for CUDA, built once for all tests and kept in the user's cache."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from tests.rehearsal.build import BuildError, build
from tests.rehearsal.rehearse import Rehearsal


@pytest.fixture(scope="session")
def rehearsal(tmp_path_factory: pytest.TempPathFactory) -> Rehearsal:
    """Runs programs on the stand-ins; skips where they cannot be built."""
    for program in ("gcc", "g++", "nm", "readelf"):
        if shutil.which(program) is None:
            pytest.skip(f"no stand-ins for CUDA: no {program}")
    home = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    try:
        site, libraries = build(Path(home) / "cloudmask-rehearsal")
    except BuildError as error:
        pytest.skip(f"no stand-ins for CUDA: {error}")
    return Rehearsal(site, libraries, tmp_path_factory.mktemp("ledgers"))
