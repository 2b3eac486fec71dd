"""The image as its users start it: a real engine, the run's own user, mounted folders."""

from __future__ import annotations

import json
import os
import shlex
import signal
import subprocess
from pathlib import Path

import pytest

from cloudmask.mlperf.check.command import check
from cloudmask.mlperf.log.run_summary import read_summary
from tests.container.conftest import COMMIT, USER, Engine
from tests.paths import ROOT
from tests.runs import ENDLESS, IN_RANKS, narrow, narrow_to_target, values_of

DROP_CACHES = Path("/proc/sys/vm/drop_caches")
# Flags of the engine with which the variables of `narrow` do in a container what they do here.
NARROW = (f"--volume={IN_RANKS}:/in_ranks:ro", "--env=PYTHONPATH=/in_ranks", "--env=IN_RANKS")


def mounts(**folders: Path | str) -> list[str]:
    """Flags that mount the folders under their names; FOLDER:ro read-only."""
    parts = {name: str(folder).partition(":") for name, folder in folders.items()}
    return [
        f"--volume={folder}:/{name}{mode and ':' + mode}"
        for name, (folder, _, mode) in parts.items()
    ]


def series(engine: Engine, *flags: str, **variables: str) -> subprocess.Popen[str]:
    """run_with_docker.sh, started; its ranks train a narrow network."""
    return subprocess.Popen(
        [ROOT / "run_with_docker.sh", *flags],
        env={
            **engine.environment,
            **narrow_to_target(),
            "DOCKER": "podman",
            "DOCKER_FLAGS": f"--ipc=host {shlex.join(NARROW)}",
            **variables,
        },
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
    assert not {"tests", ".git", "logs", "docs", ".venv"} & set(listing)


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
        *ENDLESS,
        **{"CONT": image, "DATADIR": str(scenes), "LOGDIR": str(logs), "DGXSYSTEM": "CPU"},
        CLEAR_CACHES="0",
        CLOUDMASK_CACHES_CLEARED="true",  # said by somebody else, and not believed
    )
    log = logs / "result_0.txt"
    assert any(line.startswith("epoch   1") for line in process.stdout)
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
    folders = mounts(logs=logs, data=f"{tmp_path}")
    done = engine(
        *("run", "--rm", "--env=DATASET=synthetic", *folders, *NARROW),
        "--env=SYNTHESIZE_FLAGS=--training-scenes 2 --inference-scenes 1",
        *(image, "--epochs=1", "--learning-rate=1e-9", "--kernel-learning-rate=1e-9"),
        **narrow(),
    )
    assert done.returncode == 3, done.stdout + done.stderr  # it cannot learn at that rate
    assert "3 synthetic scenes in /tmp/synthetic" in done.stdout
    assert values_of(logs / "result_0.txt", "dataset") == ["synthetic"]


@pytest.mark.parametrize(
    ("folders", "message"),
    [
        ({}, "nothing is mounted at /logs"),
        ({"logs": "{logs}:ro", "data": "{scenes}"}, "/logs cannot be written by user 1000"),
    ],
)
def test_bad_mounts_are_one_sentence_and_exit_code_2(engine, image, scenes, logs, folders, message):
    places = {"logs": logs, "scenes": scenes}
    chosen = mounts(**{name: folder.format(**places) for name, folder in folders.items()})
    done = engine("run", "--rm", *chosen, image)
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
