"""The forensic checks of lines, without the official checker."""

from collections.abc import Callable
from pathlib import Path

import pytest

from cloudmask.mlperf.check.forensics import examine
from tests.mlperf.log_text import Lines, as_bytes

Problems = tuple[list[str], list[str]]


@pytest.fixture
def report(tmp_path: Path) -> Callable[[Lines], Problems]:
    """Examines lines as a file: the problems of its violations, and of its warnings."""

    def examined(lines: Lines) -> Problems:
        path = tmp_path / "result_0.txt"
        path.write_bytes(as_bytes(lines))
        found = examine(path)
        return [x.problem for x in found.violations], [x.problem for x in found.warnings]

    return examined
