"""Bad input of a timed run: one sentence, exit code 2, and no log."""

from __future__ import annotations

import os
import subprocess

import pytest

from tests.paths import ROOT
from tests.runs import train, values_of
from tests.scene_files import compress_with_missing_filter, product_name, write_scene


def test_bad_scenes_are_skipped_on_request_and_named_in_the_log_and_mixed_baselines_get_a_note(
    train_here, without_inference, small_data, tmp_path, capsys
):
    data = tmp_path / "data"
    for path in small_data.rglob("*.hdf"):
        target = data / path.relative_to(small_data)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.symlink_to(path)
    bad = data / "one-day" / product_name(7)
    bad.write_bytes(b"not a scene")
    unreadable = write_scene(data / "one-day" / product_name(8))
    compress_with_missing_filter(unreadable, "bts")
    other = next((data / "one-day").glob("S3A*"))
    other.rename(other.with_name(other.name.replace("_003.hdf", "_004.hdf")))
    flags = ("--datadir", data, "--logdir", tmp_path, "--target-accuracy=0.01")
    assert train_here(*flags) == 2
    assert bad.name in capsys.readouterr().err
    assert not (tmp_path / "result_0.txt").exists()
    assert train_here(*flags, "--skip-bad-scenes") == 0
    log = tmp_path / "result_0.txt"
    skipped = values_of(log, "skipped_scene")
    out = capsys.readouterr().out
    for problem, scene in zip(skipped, (bad, unreadable), strict=True):
        assert problem.startswith(scene.name)
        assert f"skipped {problem}\n" in out
    assert "'bts' needs HDF5 filter 32015 (Zstandard), which is not installed" in skipped[1]
    assert values_of(log, "train_samples") == [20]
    assert "note: the scenes are of processing baselines 003, 004: " in out


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--datadir=nowhere"], "DATADIR nowhere does not exist"),
        (["--datadir={empty}"], "holds no training scene"),
        (
            ["--batch-size=64"],
            "is not filled by 20 training patches from 1 scene: give more scenes",
        ),
        (["--logdir={file}/logs"], "LOGDIR is not a folder"),
        (["--logdir=/proc/logs"], "/proc/logs"),
        (["--precision=float16"], "precision is float16"),
        (["--dataset=synthetic"], "dataset is synthetic but"),
    ],
)
def test_bad_input_is_one_sentence_and_exit_code_2(
    train_here, small_data, tmp_path, capsys, flags, message
):
    (tmp_path / "file").touch()
    (tmp_path / "empty").mkdir()
    places = {"file": tmp_path / "file", "empty": tmp_path / "empty"}
    chosen = [flag.format(**places) for flag in flags]
    assert train_here("--datadir", small_data, "--logdir", tmp_path / "logs", *chosen) == 2
    shown = capsys.readouterr()
    assert shown.err.startswith("cloudmask train: error: ")
    assert message in shown.err
    assert len(shown.err.strip().splitlines()) == 1
    assert not list(tmp_path.rglob("result_*.txt"))


def test_a_mapped_store_needs_room_in_its_scratch_folder(train_here, two_scenes, tmp_path, capsys):
    flags = ("--store=mapped", "--scratch", tmp_path / "nowhere")
    assert train_here("--datadir", two_scenes, "--logdir", tmp_path, *flags) == 2
    assert "nowhere" in capsys.readouterr().err


def test_unknown_system_is_refused_with_those_that_exist():
    done = subprocess.run(
        [ROOT / "run_and_time.sh"],
        env={**os.environ, "DGXSYSTEM": "ABACUS"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 2
    assert "ABACUS" in done.stderr
    assert "DGX2_2x16" in done.stderr


@pytest.mark.slow
def test_bad_input_of_a_rank_ends_every_process_with_exit_code_2(tmp_path):
    done = train("--datadir=nowhere", "--logdir", tmp_path, "--processes-per-node=2")
    assert done.returncode == 2, done.stdout + done.stderr
    assert done.stdout == ""
    assert done.stderr.startswith("cloudmask train: error: DATADIR nowhere does not exist")
    assert len(done.stderr.strip().splitlines()) == 1
