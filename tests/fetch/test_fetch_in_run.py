"""A timed run that has to fetch its data first."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from cloudmask.mlperf.log.run_summary import read_summary
from tests.fetch.scene_bucket import Bucket
from tests.paths import ROOT
from tests.runs import narrow, values_of


@pytest.mark.slow
def test_an_empty_datadir_is_fetched_inside_end_to_end_and_outside_time_to_solution(
    bucket: Bucket, two_scenes: Path, tmp_path: Path
) -> None:
    scenes = sorted(two_scenes.rglob("*.hdf"))
    for path in scenes:
        bucket.put(str(path.relative_to(two_scenes)), path.read_bytes())
    variables = {
        **{"DGXSYSTEM": "CPU", "DATASET": "ds1", "DATADIR": str(tmp_path / "ds1")},
        **{"LOGDIR": str(tmp_path / "logs")},
        "FETCH_FLAGS": f"--endpoint {bucket.proxy.endpoint} --bucket {bucket.name}",
    }
    done = subprocess.run(
        [ROOT / "run_and_time.sh", "--target-accuracy=0.01", "--epochs=1", "--workers=1"],
        env={**os.environ, **narrow(**variables)},
        capture_output=True,
        text=True,
        timeout=300,
    )
    # The rules refuse so low a target, which spares this test the training to a real one.
    assert done.returncode == 1, done.stdout + done.stderr
    fetched = sorted(path.name for path in (tmp_path / "ds1").rglob("*.hdf"))
    assert fetched == sorted(path.name for path in scenes)
    log = tmp_path / "logs" / "result_0.txt"
    assert values_of(log, "dataset") == ["ds1"]
    assert values_of(log, "train_samples") == [20]
    (seconds,) = values_of(log, "fetch_seconds")
    assert seconds >= 1
    end_to_end = int(done.stdout.strip().splitlines()[-1].split(",")[3])
    assert end_to_end >= seconds + read_summary(log).time_to_solution
