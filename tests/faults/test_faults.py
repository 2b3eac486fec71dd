"""Runs that lose a process, a disk or their patience: each ends soon, and none as a success."""

from __future__ import annotations

import resource
import shutil
import signal
from pathlib import Path

import h5py
import psutil
import pytest

from cloudmask.checkpoints.folder import newest_first
from cloudmask.errors import EXIT_FAULT, EXIT_INPUT, EXIT_OK, EXIT_TARGET_MISSED
from cloudmask.mlperf.log.run_summary import read_summary
from tests.faults.disks import fill, small_disk
from tests.runs import values_of
from tests.scene_files import product_name

pytestmark = pytest.mark.slow
# What a run needs to come to a moment: a target that the first epoch meets, or one that none does.
FLAGS = {
    "staging": ["--target-accuracy=1"],
    "epoch": ["--target-accuracy=1"],
    "evaluation": ["--target-accuracy=1"],
    "checkpoint": ["--target-accuracy=1", "--checkpoint-epochs=1"],
    "inference": ["--target-accuracy=0.01"],
}
# For runs that shall come to their end, also on a machine that does other things besides.
PATIENT = "--fault-timeout=60"
PARTS = {"epoch": "epoch 1", "evaluation": "evaluation 1"}


def assert_aborted(run, reason: str) -> None:
    """One line says what happened; the log has its end and the same reason."""
    assert reason in run.error
    assert len(run.error.strip().splitlines()) == 1, run.error
    assert values_of(run.log, "fault") == [
        run.error.strip().removeprefix("cloudmask train: error: ")
    ]
    assert len(values_of(run.log, "run_stop")) == 1
    assert read_summary(run.log).status == "aborted"


@pytest.mark.parametrize(
    ("ranks", "hit", "moment"),
    [
        (1, 0, "staging"),
        (1, 0, "epoch"),
        (1, 0, "checkpoint"),
        (1, 0, "inference"),
        (2, 0, "staging"),
        (2, 0, "evaluation"),
        (2, 0, "inference"),
        (2, 1, "staging"),
        (2, 1, "epoch"),
        (2, 1, "checkpoint"),
        (2, 1, "inference"),
    ],
)
def test_a_killed_rank_ends_the_run(start, tally, ranks, hit, moment):
    run = start(*FLAGS[moment], ranks=ranks)
    run.wait_for(moment)
    run.strike(run.rank(hit), signal.SIGKILL)
    assert run.finish(tally) == EXIT_FAULT
    # Between two parts, the one that has just ended is named.
    part = PARTS.get(moment, moment) if moment == "staging" else ""
    assert_aborted(run, f"rank {hit} in {part}")
    assert "was killed by SIGKILL" in run.error
    assert not list(run.logs.glob("*.part"))


@pytest.mark.parametrize(
    ("ranks", "hit", "moment"),
    [
        (1, 0, "staging"),
        (1, 0, "epoch"),
        (1, 0, "inference"),
        (2, 0, "epoch"),
        (2, 0, "evaluation"),
        (2, 1, "staging"),
        (2, 1, "epoch"),
        (2, 1, "inference"),
    ],
)
def test_a_stalled_rank_ends_the_run(start, tally, ranks, hit, moment):
    run = start(*FLAGS[moment], ranks=ranks)
    run.wait_for(moment)
    run.strike(run.rank(hit), signal.SIGSTOP)
    assert run.finish(tally) == EXIT_FAULT
    assert_aborted(run, f"rank {hit} in ")


@pytest.mark.parametrize(("ranks", "hit"), [(1, 0), (2, 0), (2, 1)])
def test_a_scene_that_becomes_unreadable_is_named_with_its_rank(
    start, tally, two_scenes, tmp_path, ranks, hit
):
    data = shutil.copytree(two_scenes, tmp_path / "data")
    # Of each scene, rank 0 reads the upper half, and rank 1 the lower.
    scene = data / "training" / product_name(1)
    run = start("--datadir", data, ranks=ranks)
    run.wait_until(lambda: (run.logs / "result_0.txt").exists())
    run.remember()
    damage(scene, hit)
    assert run.finish(tally) == EXIT_INPUT
    assert_aborted(run, scene.name)
    assert f"rank {hit} in staging: " in run.error


def damage(scene: Path, hit: int) -> None:
    """Overwrite compressed pixels in the half of a scene that a rank reads: headers stay."""
    rows = range(150, 500) if hit == 0 else range(700, 1050)
    with h5py.File(scene) as file:
        chunks = [file["bts"].id.get_chunk_info(n) for n in range(file["bts"].id.get_num_chunks())]
    with scene.open("r+b") as file:
        for chunk in chunks:
            if chunk.chunk_offset[0] in rows:
                file.seek(chunk.byte_offset)
                file.write(b"\x55" * chunk.size)


@pytest.mark.parametrize("ranks", [1, 2])
def test_a_loss_that_is_not_a_number_ends_the_run_without_restart(start, tally, ranks):
    run = start(
        *("--learning-rate=1e30", "--precision=float32", "--max-restarts=3", PATIENT), ranks=ranks
    )
    run.wait_until(lambda: '"epoch_stop"' in read(run.logs / "result_0.txt"))
    assert run.finish(tally) == EXIT_TARGET_MISSED
    assert read_summary(run.log).status == "aborted"
    assert "learning_rate" in run.output
    assert run.log.name == "result_0.txt"


def test_a_killed_staging_worker_ends_the_run(start, tally):
    run = start(ranks=2)
    run.wait_for("staging")
    worker = run.worker(1)
    run.strike(worker, signal.SIGKILL)
    assert run.finish(tally) == EXIT_INPUT
    assert_aborted(run, "rank 1 in staging: a process that reads scenes was killed")


def test_a_stalled_staging_worker_ends_the_run(start, tally):
    run = start(ranks=2)
    run.wait_for("staging")
    worker = run.worker(0)
    run.strike(worker, signal.SIGSTOP)
    assert run.finish(tally) == EXIT_FAULT
    assert_aborted(run, "rank 0 in staging made no progress for 15 s")


@pytest.mark.parametrize("ranks", [1, 2])
def test_ranks_do_not_outlive_a_killed_supervisor(start, tally, ranks):
    run = start("--target-accuracy=1", ranks=ranks)
    run.wait_for("epoch")
    run.strike(psutil.Process(run.process.pid), signal.SIGKILL)
    assert run.finish(tally) == -signal.SIGKILL
    assert read_summary(run.log).status == "aborted"
    assert "SIGTERM" in run.log.read_text()


@pytest.mark.parametrize(("ranks", "number"), [(1, signal.SIGTERM), (2, signal.SIGUSR1)])
def test_a_stop_signal_leaves_a_checkpoint_from_which_the_run_goes_on(start, tally, ranks, number):
    run = start("--target-accuracy=1", "--seed=5", ranks=ranks)
    run.wait_until(lambda: '"epoch_num": 2' in read(run.logs / "result_0.txt"))
    run.strike(psutil.Process(run.process.pid), number)
    assert run.finish(tally) == 128 + number
    assert read_summary(run.log).status == "aborted"
    assert [path.name for path in newest_first(run.logs)] == ["checkpoint_0_epoch_1.safetensors"]

    resumed = start("--target-accuracy=0.01", "--resume=auto", PATIENT, ranks=ranks)
    assert resumed.process.wait(timeout=300) == EXIT_OK, resumed.process.communicate()
    log = resumed.logs / "result_1.txt"
    assert values_of(log, "resumed") == [1]
    assert values_of(log, "seed") == [5]
    assert read_summary(log).status == "aborted"  # never a timed result
    assert not newest_first(run.logs)  # the target is reached
    assert (run.logs / "weights_1.safetensors").exists()


@pytest.mark.parametrize(
    ("ranks", "hit", "number"), [(1, 0, signal.SIGKILL), (2, 1, signal.SIGSTOP)]
)
def test_a_run_with_restarts_goes_on_from_its_last_checkpoint(start, tally, ranks, hit, number):
    run = start(
        *("--target-accuracy=1", "--epochs=2", "--checkpoint-epochs=1", "--max-restarts=1"),
        PATIENT,
        ranks=ranks,
    )
    run.wait_until(lambda: '"checkpoint"' in read(run.logs / "result_0.txt"))
    run.strike(run.rank(hit), number)
    assert run.finish(tally) == EXIT_TARGET_MISSED
    first, second = run.logs / "result_0.txt", run.logs / "result_1.txt"
    assert len(values_of(first, "fault")) == 1
    assert values_of(second, "resumed") == [1]
    assert values_of(second, "seed") == values_of(first, "seed")
    assert len(values_of(second, "epoch_stop")) == 1


def test_a_run_that_has_used_up_its_restarts_ends(start, tally):
    run = start("--target-accuracy=1", "--max-restarts=1")
    for log in ("result_0.txt", "result_1.txt"):
        run.wait_for("staging", log)
        run.strike(run.rank(0), signal.SIGKILL)
    assert run.finish(tally) == EXIT_FAULT
    assert len(run.error.strip().splitlines()) == 2
    assert values_of(run.log, "resumed") == [0]  # not one whole run: it had begun before


@pytest.mark.parametrize("ranks", [1, 2])
def test_a_disk_too_full_for_a_checkpoint_costs_the_checkpoint_only(start, tally, tmp_path, ranks):
    with small_disk(tmp_path / "disk", "40m") as disk:
        run = start(
            *("--target-accuracy=1", "--epochs=2", "--checkpoint-epochs=1"),
            *("--checkpoint-folder", disk, PATIENT),
            ranks=ranks,
        )
        run.checkpoints = disk
        run.wait_until(lambda: newest_first(disk))
        run.remember()
        fill(disk)
        assert run.finish(tally) == EXIT_TARGET_MISSED
        assert "no checkpoint: [Errno 28] No space left on device" in run.output
        assert len(values_of(run.log, "checkpoint_failed")) == 1
        assert [path.name for path in newest_first(disk)] == ["checkpoint_0_epoch_1.safetensors"]
        assert run.error == ""


@pytest.mark.parametrize("ranks", [1, 2])
def test_a_log_that_cannot_be_written_ends_the_run(start, tally, ranks):
    run = start("--target-accuracy=1", ranks=ranks)
    run.wait_for("epoch")
    run.remember()
    size = run.log.stat().st_size
    resource.prlimit(run.rank(0).pid, resource.RLIMIT_FSIZE, (size, size))
    assert run.finish(tally) == EXIT_FAULT
    assert_aborted(run, "File too large")


def test_a_disk_that_fills_up_behind_the_start_does_not_cut_the_log(start, tally, tmp_path):
    with small_disk(tmp_path / "logs", "2m") as disk:
        run = start("--target-accuracy=1", "--epochs=1", PATIENT)
        run.wait_for("staging")
        run.remember()
        fill(disk)
        run.finish(tally)
        assert read_summary(run.log).status == "aborted"
        assert len(values_of(run.log, "epoch_stop")) == 1


def test_a_disk_without_room_for_the_log_is_refused_before_the_run(start, tally, tmp_path):
    with small_disk(tmp_path / "logs", "1m") as disk:
        fill(disk)
        run = start()
        assert run.finish(tally) == EXIT_INPUT
        assert "no room for the log (No space left on device)" in run.error
        assert not list(disk.glob("result_*"))


@pytest.mark.parametrize("jump", [3600.0, -3600.0])
def test_a_clock_that_jumps_spoils_the_time_and_nothing_else(start, tally, tmp_path, jump):
    (tmp_path / "sitecustomize.py").write_text(
        "import os, time\n"
        "real = time.time\n"
        f"trigger = {str(tmp_path / 'jumped')!r}\n"
        f"time.time = lambda: real() + ({jump} if os.path.exists(trigger) else 0.0)\n"
    )
    run = start("--target-accuracy=0.01", PATIENT, ranks=2, PYTHONPATH=str(tmp_path))
    run.wait_for("epoch")
    run.remember()
    (tmp_path / "jumped").touch()
    assert run.finish(tally) == EXIT_TARGET_MISSED
    assert f"clock jumped by {jump:+.1f} s" in run.output
    assert (run.logs / "weights_0.safetensors").exists()


def read(path: Path) -> str:
    """The text of a file that may not be there yet."""
    return path.read_text() if path.exists() else ""
