"""Unreadable scenes, full disks and files that are too large: some end the run, some do not."""

from __future__ import annotations

import shutil
from pathlib import Path

import h5py
import pytest

from cloudmask.checkpoints.folder import newest_first
from cloudmask.mlperf.log.run_summary import read_summary
from tests.faults.disks import fill
from tests.faults.faulty_run import assert_reported
from tests.runs import epochs_of_checkpoints, fault, values_of
from tests.scene_files import product_name

pytestmark = pytest.mark.slow
FILL = "from pathlib import Path; from tests.faults.disks import fill; fill(Path({folder!r}))"
# The system refuses to write any more bytes to a file of this size.
LIMIT = (
    "import glob, os, resource; size = os.path.getsize(glob.glob({file!r})[0]) - {less};"
    "resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))"
)


@pytest.mark.parametrize("rank", [0, 1])
def test_a_scene_that_becomes_unreadable_is_named_with_its_rank(
    start, tally, two_scenes, tmp_path, rank
):
    data = shutil.copytree(two_scenes, tmp_path / "data")
    scene = data / "training" / product_name(1)
    damaged = tmp_path / "damaged.hdf"
    damage(shutil.copy(scene, damaged), rank)
    replace = f"import os; os.replace({str(damaged)!r}, {str(scene)!r})"
    run = start(
        *("--datadir", data),
        faults=[fault(rank=rank, phase="staging", code=replace)],
        ranks=2,
    )
    assert run.finish(tally) == 2
    assert_reported(
        run,
        f"rank {rank} in staging: {scene.name}: the file cannot be read (Can't synchronously read "
        "data (filter returned failure during read)); give a whole copy of it",
    )


def damage(scene: Path, rank: int) -> None:
    """Overwrite compressed pixels in the half of a scene that a rank of two reads; keep headers."""
    rows = range(150, 500) if rank == 0 else range(700, 1050)
    with h5py.File(scene) as file:
        chunks = [file["bts"].id.get_chunk_info(n) for n in range(file["bts"].id.get_num_chunks())]
    with scene.open("r+b") as file:
        for chunk in chunks:
            if chunk.chunk_offset[0] in rows:
                file.seek(chunk.byte_offset)
                file.write(b"\x55" * chunk.size)


def test_a_disk_too_full_for_a_checkpoint_costs_the_checkpoint_only(
    start, tally, tmp_path, mount_disk
):
    disk = mount_disk(tmp_path / "disk", "2m")
    full = fault(phase="epoch 2", code=FILL.format(folder=str(disk)))
    assert_only_the_first_checkpoint(
        start, tally, full, disk, "[Errno 28] No space left on device", ranks=1
    )


def test_a_checkpoint_too_large_for_its_file_system_costs_the_checkpoint_only(
    start, tally, tmp_path
):
    first = tmp_path / "disk" / "checkpoint_0_*_epoch_1.safetensors"
    # The headers differ by the digits of what they hold.
    limited = fault(phase="epoch 2", code=LIMIT.format(file=str(first), less=1000))
    assert_only_the_first_checkpoint(
        start, tally, limited, first.parent, "[Errno 27] File too large", ranks=2
    )


def assert_only_the_first_checkpoint(start, tally, failure, folder, reason, ranks):
    run = start(
        *("--target-accuracy=1", "--epochs=2", "--checkpoint-epochs=1"),
        faults=[failure],
        checkpoints=folder,
        ranks=ranks,
    )
    assert run.finish(tally) == 3
    assert f"\nno checkpoint: {reason}\n" in run.output
    assert values_of(run.log, "checkpoint_failed") == [reason]
    assert epochs_of_checkpoints(run.log) == [1]
    assert [path.name for path in newest_first(folder)] == values_of(run.log, "checkpoint")
    assert run.error == ""


def test_a_log_that_cannot_be_written_ends_the_run(start, tally, tmp_path):
    log = tmp_path / "logs" / "result_0.txt"
    limited = fault(phase="epoch 1", step=1, code=LIMIT.format(file=str(log), less=0))
    run = start("--target-accuracy=1", faults=[limited], ranks=2)
    assert run.finish(tally) == 5
    assert_reported(run, "rank 0 in epoch 1: [Errno 27] File too large")


def test_a_disk_that_fills_up_after_the_start_does_not_cut_the_log(
    start, tally, tmp_path, mount_disk
):
    disk = mount_disk(tmp_path / "logs", "2m")
    full = fault(phase="staging", code=FILL.format(folder=str(disk)))
    run = start("--target-accuracy=1", "--epochs=1", faults=[full])
    assert run.finish(tally) == 5
    assert read_summary(run.log).status == "aborted"
    assert len(values_of(run.log, "epoch_stop")) == 1


def test_a_disk_without_room_for_the_log_is_refused_before_the_run(
    start, tally, tmp_path, mount_disk
):
    disk = mount_disk(tmp_path / "logs", "1m")
    fill(disk)
    run = start()
    assert run.finish(tally) == 2
    assert run.error == (
        f"cloudmask train: error: {disk}: no room for the log (No space left on device): "
        "free some, or choose another LOGDIR\n"
    )
    assert not run.all_logs
