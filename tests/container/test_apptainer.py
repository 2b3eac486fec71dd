"""The image under Apptainer: the call that run.sub makes, and what Apptainer does differently."""

from __future__ import annotations

import os
import subprocess

import pytest

from cloudmask.mlperf.check.command import check
from tests.container.test_scripts import write_program
from tests.paths import ROOT
from tests.runs import IN_RANKS, narrow_to_target, values_of

FAKE_SCONTROL = """#!/usr/bin/env bash
[[ $2 == hostnames ]] && echo node-a || echo "NodeName=node-a NodeAddr=10.0.0.1 State=IDLE"
"""
FAKE_SRUN = """#!/usr/bin/env bash
printf '%s\\n' "$@" >"$NOTES"
"""


@pytest.fixture
def submit(tmp_path):
    """A function that runs run.sub as a batch script would be; returns the arguments of srun."""
    programs = tmp_path / "bin"
    programs.mkdir()
    write_program(programs / "scontrol", FAKE_SCONTROL)
    write_program(programs / "srun", FAKE_SRUN)
    notes = tmp_path / "notes"

    def run(**variables: str) -> tuple[subprocess.CompletedProcess[str], list[str]]:
        slurm = {"SLURM_JOB_ID": "7", "SLURM_JOB_NUM_NODES": "1", "SLURM_JOB_NODELIST": "node-a"}
        done = subprocess.run(
            ["bash", ROOT / "run.sub", "--epochs=3"],
            env={
                **os.environ,
                **slurm,
                "PATH": f"{programs}:{os.environ['PATH']}",
                "SLURM_SUBMIT_DIR": str(ROOT),
                "NOTES": str(notes),
                **{"DGXSYSTEM": "CPU", "DGXNNODES": "1", "CLEAR_CACHES": "0", "SEED": "5"},
                **variables,
            },
            capture_output=True,
            text=True,
            timeout=60,
        )
        return done, notes.read_text().splitlines() if notes.exists() else []

    return run


def test_run_sub_starts_an_image_of_apptainer_with_folders_whose_names_have_colons(
    submit, tmp_path
):
    image, data, logs = tmp_path / "cloudmask.sif", tmp_path / "12:30", tmp_path / "logs"
    image.touch()
    data.mkdir()
    done, arguments = submit(CONT=str(image), DATADIR=str(data), LOGDIR=str(logs))
    assert done.returncode == 0, done.stderr
    call = arguments[arguments.index("apptainer") :]
    assert call[:2] == ["apptainer", "exec"]
    mounts = [call[at + 1] for at, argument in enumerate(call) if argument == "--mount"]
    assert mounts == [
        f'type=bind,"source={data}",destination=/data',
        f'type=bind,"source={logs}",destination=/logs',
    ]
    inside = call[call.index(str(image)) + 1 :]
    assert inside[0] == "env"
    assert {"DATADIR=/data", "LOGDIR=/logs", "SEED=5"} < set(inside)
    assert inside[-2:] == ["./run_and_time.sh", "--epochs=3"]
    assert not any(argument.startswith("--container") for argument in arguments)


def test_run_sub_refuses_what_pyxis_cannot_mount_and_an_image_that_is_not_there(submit, tmp_path):
    done, _ = submit(CONT="registry/cloudmask", DATADIR=f"{tmp_path}/12:30", LOGDIR=str(tmp_path))
    assert done.returncode == 2
    assert "pyxis mounts no folder with a colon or comma" in done.stderr
    done, _ = submit(CONT=str(tmp_path / "no.sif"), DATADIR=str(tmp_path), LOGDIR=str(tmp_path))
    assert done.returncode == 2
    assert f"CONT {tmp_path}/no.sif is not there: build it" in done.stderr


def test_a_run_as_apptainer_starts_it_reaches_the_target(engine, image, scenes, logs):
    """Read-only root, a user that the image does not know, and another working directory."""
    os.chown(logs, 4242, 4242)
    done = engine(
        *("run", "--rm", "--read-only", "--tmpfs=/tmp", "--user=4242", "--workdir=/home"),
        *(f"--volume={IN_RANKS}:/in_ranks:ro", "--env=IN_RANKS"),
        *("--env=PYTHONPATH=/opt/cloudmask:/in_ranks", "--env=PYTHONNOUSERSITE=1"),
        *(f"--volume={scenes}:/data:ro", f"--volume={logs}:/logs"),
        *(f"--env={name}" for name in narrow_to_target() if name.startswith("CLOUDMASK_")),
        "--entrypoint=/opt/cloudmask/run_and_time.sh",
        image,
        **narrow_to_target(DGXSYSTEM="CPU"),
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert check(logs / "result_0.txt").accepted
    assert values_of(logs / "result_0.txt", "fault") == []
