"""A timed run that has to fetch its data first."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from cloudmask.mlperf.log.lines import read_lines
from cloudmask.mlperf.log.run_summary import read_summary
from tests.fetch.scene_bucket import Bucket
from tests.paths import ROOT
from tests.scene_files import product_name, write_learnable_scene


@pytest.mark.slow
def test_an_empty_datadir_is_fetched_inside_end_to_end_and_outside_time_to_solution(
    bucket: Bucket, tmp_path: Path
) -> None:
    for number, subset in enumerate(("training", "training", "inference")):
        path = write_learnable_scene(tmp_path / "source" / product_name(number), number)
        bucket.put(f"{subset}/{path.name}", path.read_bytes())
    variables = {
        "DGXSYSTEM": "CPU",
        "DATASET": "ds1",
        "DATADIR": str(tmp_path / "ds1"),
        "LOGDIR": str(tmp_path / "logs"),
        "FETCH_FLAGS": f"--endpoint {bucket.proxy.endpoint} --bucket {bucket.name}",
    }
    done = subprocess.run(
        [ROOT / "run_and_time.sh", "--target-accuracy=0.01", "--epochs=1"],
        env={**os.environ, **variables},
        capture_output=True,
        text=True,
        timeout=300,
    )
    # The rules refuse so low a target, which spares this test the training to a real one.
    assert done.returncode == 1, done.stdout + done.stderr
    log = tmp_path / "logs" / "result_0.txt"
    events = {line.record["key"]: line.record["value"] for line in read_lines(log) if line.record}
    assert events["dataset"] == "ds1"
    assert events["fetch_seconds"] >= 1
    end_to_end = int(done.stdout.strip().splitlines()[-1].split(",")[3])
    assert end_to_end >= events["fetch_seconds"] + read_summary(log).time_to_solution
