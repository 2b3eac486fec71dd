"""Checks of a run: its data, memory, disk, log folder and page caches."""

from __future__ import annotations

import os
from types import SimpleNamespace

import psutil
import pytest

from cloudmask.config import configure
from cloudmask.doctor import readiness
from cloudmask.doctor.readiness import (
    check_caches,
    check_configuration,
    check_data,
    check_disk,
    check_log_folder,
    check_memory,
    check_submission,
)
from cloudmask.machine.system import cgroups
from tests.scene_files import product_name, write_scene


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """Five training scenes, of 80 and 20 patches, and an inference scene."""
    folder = tmp_path_factory.mktemp("data")
    for number in range(5):
        write_scene(folder / "training" / product_name(number))
    write_scene(folder / "inference" / product_name(9))
    return folder


def config_of(data, *flags):
    return configure([f"--datadir={data}", "--dataset=custom", *flags])


def test_the_configuration_is_as_it_will_be_used():
    flags = ["--nodes=2", "--processes-per-node=4", "--batch-size=8", "--precision=float32"]
    finding = check_configuration(configure([*flags, "--system=Big", "--seed=7"]))
    assert finding.level == "ok"
    assert finding.text == (
        "Big: 2 x 4 processes, global batch 64, float32, fast recipe, target 0.9, seed 7"
    )


def test_scenes_are_counted_with_their_patches(data):
    training, inference = check_data(config_of(data))
    assert training.text == f"5 training scenes in {data}: 80 and 20 patches"
    assert inference.text == f"1 inference scene in {data}"
    assert training.level == inference.level == "ok"


def test_scenes_too_few_for_a_batch_are_a_failure(data):
    training, inference = check_data(config_of(data, "--batch-size=64"))
    assert (training.level, inference.level) == ("FAIL", "ok")


def test_a_first_scene_that_cannot_be_used_is_a_failure(data, tmp_path):
    (tmp_path / "training").mkdir()
    (tmp_path / "training" / product_name(0)).write_text("no scene")
    (tmp_path / "inference").symlink_to(data / "inference")
    training, inference = check_data(config_of(tmp_path))
    assert (training.level, inference.level) == ("FAIL", "ok")
    assert product_name(0) in training.text


@pytest.mark.parametrize(
    ("dataset", "what"), [("ds1", "fetches"), ("ds2", "fetches"), ("synthetic", "makes")]
)
def test_data_that_the_run_will_fill_in_are_a_warning(tmp_path, dataset, what):
    for folder in (tmp_path / "nowhere", tmp_path):
        (finding,) = check_data(configure([f"--datadir={folder}", f"--dataset={dataset}"]))
        assert finding.level == "warning"
        assert finding.text.endswith(f"run_and_time.sh {what} them")


def test_a_missing_folder_of_other_data_is_one_failure(tmp_path):
    (finding,) = check_data(config_of(tmp_path / "nowhere"))
    assert finding.level == "FAIL"
    assert "nowhere does not exist" in finding.text


NEEDED = 100 * 256**2 * (2 * 9 + 1)  # bytes: 100 patches of 9 channels in half precision, labels


@pytest.mark.parametrize(
    ("factor", "level", "place"),
    [(1 / 0.69, "ok", "host memory"), (1 / 0.71, "warning", "mapped memory on /scratch")],
)
def test_patches_that_do_not_fit_into_memory_are_a_warning(monkeypatch, data, factor, level, place):
    memory = SimpleNamespace(available=NEEDED * factor)
    monkeypatch.setattr(psutil, "virtual_memory", lambda: memory)
    monkeypatch.setattr(cgroups, "free_memory", lambda: None)
    finding = check_memory(config_of(data, "--scratch=/scratch"))
    assert finding.level == level
    assert f"0.1 GiB of patches a rank go to {place}" in finding.text


def test_a_mapped_store_that_was_asked_for_is_no_warning_unless_it_is_in_memory(data, monkeypatch):
    monkeypatch.setattr(readiness, "file_system_type", lambda path: "tmpfs")
    finding = check_memory(config_of(data, "--store=mapped", "--scratch=/x"))
    assert finding.level == "warning"
    assert finding.text.endswith("on /x, which is tmpfs: give --scratch a folder on a disk")
    monkeypatch.setattr(readiness, "file_system_type", lambda path: "ext4")
    finding = check_memory(config_of(data, "--store=mapped"))
    assert (finding.level, finding.text.split()[-2:]) == ("ok", ["mapped", "memory"])


def test_without_scenes_the_free_memory_is_shown(tmp_path):
    finding = check_memory(config_of(tmp_path))
    assert (finding.level, finding.text.split()[-1]) == ("ok", "free")


def test_the_read_rate_is_of_the_largest_of_the_first_scenes(data, tmp_path, monkeypatch):
    folder = tmp_path / "training"
    folder.mkdir()
    for number, size in enumerate([1000, 9_000_000, 5000]):
        (folder / product_name(number)).write_bytes(b"x" * size)
    finding = check_disk(config_of(tmp_path))
    assert finding.level == "ok"
    assert f"MB/s at most, scene {product_name(1)}, 9 MB" in finding.text


def test_the_read_rate_is_megabytes_over_seconds(data, tmp_path, monkeypatch):
    (tmp_path / "training").mkdir()
    (tmp_path / "training" / product_name(0)).write_bytes(b"x" * 8_000_000)
    times = iter([10.0, 10.5])
    monkeypatch.setattr(readiness.time, "perf_counter", lambda: next(times))
    assert check_disk(config_of(tmp_path)).text.startswith("16 MB/s at most, ")


def test_without_scenes_a_temporary_file_is_read_and_removed(tmp_path, monkeypatch):
    monkeypatch.setattr(readiness, "SAMPLE_BYTES", 2 * readiness.BLOCK_BYTES)
    finding = check_disk(config_of(tmp_path / "nowhere", f"--scratch={tmp_path}"))
    assert finding.level == "ok"
    assert finding.text.endswith(f"temporary file in {tmp_path}, 8 MB")
    assert list(tmp_path.iterdir()) == []


def test_a_scratch_that_cannot_be_written_is_a_warning(tmp_path):
    finding = check_disk(config_of(tmp_path / "nowhere", f"--scratch={tmp_path / 'no'}"))
    assert finding.level == "warning"
    assert "no cannot be written (No such file or directory)" in finding.text


def test_a_log_folder_is_writable_or_can_be_made_and_is_left_as_it_was(tmp_path):
    assert check_log_folder(tmp_path).text == f"{tmp_path} can be written"
    deep = tmp_path / "a" / "b"
    assert (check_log_folder(deep).level, check_log_folder(deep).text) == (
        "ok",
        f"{deep} can be made",
    )
    assert list(tmp_path.iterdir()) == []


def test_a_file_in_the_place_of_the_log_folder_is_a_failure(tmp_path):
    (tmp_path / "file").touch()
    finding = check_log_folder(tmp_path / "file" / "logs")
    assert finding.level == "FAIL"
    assert f"({tmp_path / 'file'} is a file): choose another" in finding.text


def test_caches_that_cannot_be_dropped_are_a_warning(tmp_path, monkeypatch):
    monkeypatch.setattr(readiness, "DROP_CACHES", tmp_path / "drop_caches")
    assert check_caches(configure([])).level == "warning"
    assert check_caches(configure(["--caches-cleared"])).level == "ok"
    (tmp_path / "drop_caches").touch()
    assert os.access(tmp_path / "drop_caches", os.W_OK)
    assert check_caches(configure([])).level == "ok"
    assert check_caches(configure(["--no-clear-caches"])).level == "warning"


@pytest.mark.parametrize(
    ("flags", "levels"),
    [
        ((), []),
        (("--dataset=ds1",), ["warning"]),
        (("--dataset=ds1", "--organisation=Acme"), []),
        (("--dataset=ds1", "--division=closed"), ["FAIL"]),
        (("--dataset=synthetic", "--division=closed", "--organisation=Acme"), ["FAIL"]),
        (("--division=closed",), ["FAIL", "FAIL"]),
    ],
)
def test_what_can_only_end_refused_is_named_before_the_run(flags, levels):
    recipe = ("--recipe=reference",)
    assert [x.level for x in check_submission(configure([*flags, *recipe]))] == levels
