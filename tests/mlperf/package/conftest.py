"""Files for a submission package."""

from pathlib import Path

import pytest

from tests.mlperf.package.submission_files import SubmissionFiles, head


@pytest.fixture
def submission(tmp_path: Path) -> SubmissionFiles:
    """The files of a submission, in a temporary folder."""
    if not head():
        pytest.skip("no git clone")
    return SubmissionFiles(tmp_path)
