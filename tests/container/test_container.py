"""The image as its users start it: a real engine, the run's own user, mounted folders."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from pathlib import Path

import pytest

from cloudmask.mlperf.check.command import check
from cloudmask.mlperf.log.lines import read_lines
from cloudmask.mlperf.log.run_summary import read_summary
from tests.container.conftest import COMMIT, USER, Engine
from tests.paths import ROOT

pytestmark = pytest.mark.slow
DROP_CACHES = Path("/proc/sys/vm/drop_caches")


def values_of(log: Path, key: str) -> list[object]:
    """Every value that a log gives for a key."""
    records = [line.record for line in read_lines(log) if line.record is not None]
    return [record["value"] for record in records if record["key"] == key]


def mounts(**folders: Path | str) -> list[str]:
    """Flags that mount the folders under their names; FOLDER:ro read-only."""
    parts = {name: str(folder).partition(":") for name, folder in folders.items()}
    return [
        f"--volume={folder}:/{name}{mode and ':' + mode}"
        for name, (folder, _, mode) in parts.items()
    ]


def series(engine: Engine, *flags: str, **variables: str) -> subprocess.Popen[str]:
    """run_with_docker.sh, started."""
    return subprocess.Popen(
        [ROOT / "run_with_docker.sh", *flags],
        env={**engine.environment, "DOCKER": "podman", "DOCKER_FLAGS": "--ipc=host", **variables},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_the_base_images_torch_is_kept(engine, base_image, image):
    command = ("--entrypoint=python3", "-c", "import torch; print(torch.__version__)")
    versions = {
        name: engine.must("run", "--rm", command[0], name, *command[1:])
        for name in (base_image, image)
    }
    assert versions[image] == versions[base_image]
    (details,) = json.loads(engine.must("inspect", image))
    assert details["Labels"]["org.opencontainers.image.revision"] == COMMIT
    assert details["Labels"]["org.opencontainers.image.base.name"] == base_image
    assert details["User"].split(":")[0] == str(USER)


def test_the_image_holds_only_what_running_needs(engine, image):
    listing = engine.must("run", "--rm", "--entrypoint=ls", image, "-A", "/opt/cloudmask").split()
    assert "cloudmask" in listing
    assert not {"tests", ".git", "logs", "README.md", ".venv"} & set(listing)


def test_runs_reach_the_target_with_seeds_of_their_own(engine, image, scenes, logs):
    variables = {"CONT": image, "DATADIR": str(scenes), "LOGDIR": str(logs), "NEXP": "2"}
    process = series(engine, DGXSYSTEM="CPU", **variables)
    output, errors = process.communicate(timeout=900)
    assert process.returncode == 0, output + errors
    results = [logs / "result_0.txt", logs / "result_1.txt"]
    assert all(check(log).accepted for log in results)
    assert len({values_of(log, "seed")[0] for log in results}) == 2
    assert output.count("health: ") == output.count("STARTING TIMING RUN AT") == 2
    for log in results:
        assert values_of(log, "submission_github_commit_version") == [COMMIT]
        assert log.stat().st_uid == USER
        # In the container they cannot be dropped: what is logged is what the host did.
        assert values_of(log, "cache_clear") == [os.access(DROP_CACHES, os.W_OK)]
    checked = engine("run", "--rm", *mounts(logs=logs), image, "check", "/logs/result_0.txt")
    assert checked.returncode == 0, checked.stdout + checked.stderr
    assert engine.must("ps", "--all", "--quiet") == ""


def test_a_stopped_series_ends_its_run_aborted_and_leaves_no_container(engine, image, scenes, logs):
    process = series(
        engine,
        *("--target-accuracy=1", "--epochs=1000"),
        **{"CONT": image, "DATADIR": str(scenes), "LOGDIR": str(logs), "DGXSYSTEM": "CPU"},
        CLEAR_CACHES="0",
        CLOUDMASK_CACHES_CLEARED="true",  # said by somebody else, and not believed
    )
    log = logs / "result_0.txt"
    deadline = time.monotonic() + 180
    while not (log.exists() and "epoch_start" in log.read_text()):
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.2)
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=120)
    assert process.returncode == 128 + signal.SIGTERM
    assert read_summary(log).status == "aborted"
    assert "SIGTERM" in log.read_text()  # by the signal, not by the engine's patience
    assert values_of(log, "cache_clear") == [False]
    assert not (logs / "result_1.txt").exists()
    assert engine.must("ps", "--all", "--quiet") == ""


def test_synthetic_scenes_are_made_on_request_where_the_data_folder_is_read_only(
    engine, image, logs, tmp_path
):
    done = engine(
        *("run", "--rm", "--env=DATASET=synthetic", *mounts(logs=logs, data=f"{tmp_path}")),
        "--env=SYNTHESIZE_FLAGS=--training-scenes 2 --inference-scenes 1",
        *(image, "--epochs=1", "--learning-rate=1e-9", "--kernel-learning-rate=1e-9"),
    )
    assert done.returncode == 3, done.stdout + done.stderr  # it cannot learn at that rate
    assert "3 synthetic scenes in /tmp/synthetic" in done.stdout
    assert values_of(logs / "result_0.txt", "dataset") == ["synthetic"]


@pytest.mark.parametrize(
    ("folders", "flags", "message"),
    [
        ({}, [], "nothing is mounted at /logs"),
        ({"logs": "{logs}"}, [], "nothing is mounted at /data"),
        ({"logs": "{logs}", "data": "{empty}"}, [], "the folder at /data is empty"),
        ({"logs": "{logs}:ro", "data": "{scenes}"}, [], "/logs cannot be written by user 1000"),
        ({"logs": "{logs}", "data": "{scenes}"}, ["--epochz=3"], "epochz"),
        ({"logs": "{logs}", "data": "{empty}:ro"}, ["DATASET=ds1"], "cannot be written by user"),
    ],
)
def test_bad_mounts_and_flags_are_one_sentence_and_exit_code_2(
    engine, image, scenes, logs, tmp_path, folders, flags, message
):
    empty = tmp_path / "empty"
    empty.mkdir()
    places = {"logs": logs, "scenes": scenes, "empty": empty}
    chosen = mounts(**{name: folder.format(**places) for name, folder in folders.items()})
    variables = [f"--env={flag}" for flag in flags if not flag.startswith("-")]
    arguments = [flag for flag in flags if flag.startswith("-")]
    done = engine("run", "--rm", *chosen, *variables, image, *arguments)
    assert done.returncode == 2, done.stdout + done.stderr
    assert message in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
    assert not list(logs.iterdir())


def test_any_user_may_ask_the_doctor(engine, image, scenes, logs):
    os.chown(logs, 4242, 4242)
    done = engine(
        *("run", "--rm", "--user=4242", *mounts(logs=logs, data=f"{scenes}:ro"), image, "doctor")
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "2 training scenes in /data" in done.stdout
    assert COMMIT in done.stdout


@pytest.mark.parametrize(
    ("variables", "message"),
    [
        ({"CONT": ""}, "CONT is not set"),
        ({"DATADIR": "/nowhere"}, "DATADIR /nowhere is not a folder"),
        ({"NEXP": "many"}, "NEXP is many"),
        ({"SEED": "-1"}, "SEED is -1"),
        ({"DOCKER": "no-such-engine"}, "there is no no-such-engine"),
    ],
)
def test_a_series_refuses_bad_input_before_it_starts(tmp_path, variables, message):
    usual = {"CONT": "cloudmask", "DATADIR": str(tmp_path), "LOGDIR": str(tmp_path / "logs")}
    done = subprocess.run(
        [ROOT / "run_with_docker.sh"],
        env={**os.environ, **usual, **variables},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 2
    assert message in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
