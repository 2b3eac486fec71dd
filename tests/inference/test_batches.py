"""Many scenes in one call of `infer`: order, failures, shards, workers and refusals."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import zipfile

import h5py
import pytest
import xarray as xr

from cloudmask.scenes.readers import read_scene
from tests.inference.infer_command import COLD_SHARE, infer, small_product, stem
from tests.paths import ROOT
from tests.scene_files import product_name, write_scene
from tests.scenes.sen3_product import PRODUCT


def test_a_broken_scene_is_named_and_those_before_and_after_it_are_masked(masked):
    finished, output = masked
    assert finished.code == 4
    assert finished.err == (
        f"cloudmask infer: failed: {product_name(2)}: the file is not HDF5; "
        "give a whole copy of it\n"
    )
    assert {path.name for path in output.iterdir()} == {
        f"{name}.nc" for name in (stem(1), stem(3), PRODUCT)
    }


def test_masks_are_reported_in_the_order_of_their_scenes(masked):
    finished, output = masked
    trained, first, second, third, note, unlocated, last = finished.out.splitlines()
    assert trained == (
        "weights weights_0.safetensors: trained on synthetic scenes, validation accuracy 0.9000; "
        "not for real scenes"
    )
    assert unlocated.startswith("note: the input has no positions")
    share = r"0\.\d{4}"
    assert re.fullmatch(
        rf"{PRODUCT}\.nc   cloud {share}   as bayes {share}   as summary {share}", first
    )
    assert second == (
        f"{stem(1)}.nc   cloud {COLD_SHARE:.4f}   as bayes 1.0000   as summary {COLD_SHARE:.4f}"
    )
    assert third == f"{stem(3)}.nc   cloud 1.0000   as summary 0.0000"
    assert note.startswith("note: the scenes are of processing baselines 003, 004: ")
    assert last == f"3 masks written to {output}, 0 kept, 1 failed"


def test_shards_together_mask_every_scene_once_and_json_lists_them(weights, tmp_path):
    products = tmp_path / "products"
    whole = small_product(products)
    for hour in (11, 12):
        name = PRODUCT.replace("T1000", f"T{hour}00") + ".SEN3"
        shutil.copytree(whole, products / name)
    (products / f"{PRODUCT.replace('T1000', 'T1300')}.SEN3").mkdir()
    reports = []
    for part in ("1/3", "2/3", "3/3"):
        finished = infer(weights, [products], tmp_path / "masks", "--shard", part, "--json")
        reports.append(json.loads(finished.out))
        assert finished.code == (4 if reports[-1]["failed"] else 0)
    records = [record for report in reports for record in report["masks"]]
    assert len({record["scene"] for record in records}) == len(records) == 4
    assert sorted(record["status"] for record in records) == ["failed", *["written"] * 3]
    assert {report["trained_on"] for report in reports} == {"synthetic scenes"}
    written = [record for record in records if record["status"] == "written"]
    assert all(record["cloud"] == 0 and record["agreement"]["bayes"] == 1 for record in written)
    assert len(list((tmp_path / "masks").iterdir())) == 3


@pytest.mark.slow
def test_workers_write_the_masks_that_one_process_writes(weights, tmp_path):
    products = tmp_path / "products"
    whole = small_product(products)
    shutil.copytree(whole, products / (PRODUCT.replace("T1000", "T1100") + ".SEN3"))
    (products / f"{PRODUCT.replace('T1000', 'T1300')}.SEN3").mkdir()
    finished = {n: infer(weights, [products], tmp_path / n, "--workers", n) for n in "12"}
    assert finished["1"].code == finished["2"].code == 4
    assert finished["1"].err == finished["2"].err
    assert finished["1"].out.replace("/1", "/2") == finished["2"].out
    names = sorted(path.name for path in (tmp_path / "1").iterdir())
    assert names == sorted(path.name for path in (tmp_path / "2").iterdir())
    for name in names:
        with (
            xr.open_dataset(tmp_path / "1" / name) as one,
            xr.open_dataset(tmp_path / "2" / name) as two,
        ):
            xr.testing.assert_equal(one, two)


@pytest.mark.slow
def test_a_worker_that_is_lost_fails_its_scenes(weights, tmp_path, monkeypatch):
    products = tmp_path / "products"
    whole = small_product(products)
    shutil.copytree(whole, products / (PRODUCT.replace("T1000", "T1100") + ".SEN3"))
    monkeypatch.setattr("cloudmask.inference.batch._mask_in_worker", kill_worker)
    finished = infer(weights, [products], tmp_path / "masks", "--workers", "2")
    assert finished.code == 4
    assert finished.err.count("a worker process was lost") == 2


def kill_worker(path, mask):
    os.kill(os.getpid(), signal.SIGKILL)


@pytest.mark.parametrize(
    ("flags", "reason"),
    [
        (("--threshold", "1"), "threshold is 1.0: give a probability between 0 and 1"),
        (("--threshold", "nan"), "threshold is nan: give a probability"),
        (("--workers", "-1"), "--workers is -1: give 0 or more processes"),
        (("--shard", "0/4"), "0/4 is no part: give I/N with I from 1 to N"),
        (("--shard", "5/4"), "5/4 is no part"),
    ],
)
def test_values_that_make_no_sense_are_refused(weights, tmp_path, flags, reason):
    finished = infer(weights, [tmp_path], tmp_path / "masks", *flags)
    assert (finished.code, finished.out) == (2, "")
    assert reason in finished.err
    assert not (tmp_path / "masks").exists()


def test_a_scene_below_a_folder_whose_name_is_no_text_is_masked(weights, scenes, tmp_path):
    folder = tmp_path / os.fsdecode(b"\xff")
    folder.mkdir()
    scene = folder / product_name(3)
    scene.symlink_to(scenes / "day" / product_name(3))
    finished = infer(weights, [scene], tmp_path / "masks")
    assert (finished.code, finished.err) == (0, "")
    assert (tmp_path / "masks" / f"{stem(3)}.nc").is_file()


def test_a_mask_that_cannot_be_written_leaves_nothing_behind(weights, scenes, tmp_path):
    scene = scenes / "day" / product_name(3)
    (tmp_path / f"{stem(3)}.nc" / "in_the_way").mkdir(parents=True)
    finished = infer(weights, [scene], tmp_path, "--overwrite")
    assert finished.code == 4
    assert finished.err.startswith(f"cloudmask infer: failed: {scene.name}: ")
    assert finished.err.count("\n") == 1
    assert [path.name for path in tmp_path.iterdir()] == [f"{stem(3)}.nc"]


def test_bytes_that_are_no_text_in_a_name_are_escaped_and_in_an_archive_fail_that_scene_alone(
    weights, tmp_path
):
    named = write_scene(tmp_path / os.fsdecode(b"S3A_\xff.hdf"))
    archive = tmp_path / "S3A_SL_1_RBT_b.zip"
    with zipfile.ZipFile(archive, "w") as file:
        file.writestr("\u00e9.SEN3/S7_BT_in.nc", b"")
    archive.write_bytes(archive.read_bytes().replace("\u00e9".encode(), b"\xff\xff"))
    last = write_scene(tmp_path / "S3B.hdf")
    finished = infer(weights, [named, archive, last], tmp_path / "masks")
    assert finished.code == 4
    assert finished.err.startswith(f"cloudmask infer: failed: {archive.name}: the file cannot be ")
    assert finished.err.count("\n") == 1
    assert {path.name for path in (tmp_path / "masks").iterdir()} == {
        os.fsdecode(b"S3A_\xff.nc"),
        "S3B.nc",
    }
    with h5py.File(tmp_path / "masks" / os.fsdecode(b"S3A_\xff.nc")) as mask:
        assert mask.attrs["source_product"] == rb"S3A_\udcff"


def test_a_failure_that_is_no_fault_of_the_file_is_that_scene_alone(weights, tmp_path, monkeypatch):
    bad, good = write_scene(tmp_path / "S3A_1.hdf"), write_scene(tmp_path / "S3A_2.hdf")

    def read(path, view):
        if path == bad:
            raise UnicodeDecodeError("utf-8", b"\xff", 0, 1, "invalid start byte")
        return read_scene(path)

    monkeypatch.setattr("cloudmask.inference.batch.read_scene", read)
    finished = infer(weights, [bad, good], tmp_path / "masks")
    assert finished.code == 4
    assert finished.err.startswith("cloudmask infer: failed: S3A_1.hdf: 'utf-8' codec can't decode")
    assert [path.name for path in (tmp_path / "masks").iterdir()] == ["S3A_2.nc"]


def test_bad_requests_are_refused_in_one_sentence_before_any_scene_is_read(
    weights, scenes, tmp_path
):
    scene = scenes / "day" / product_name(1)
    (tmp_path / "file").touch()
    (tmp_path / "empty").mkdir()
    twin = tmp_path / "copy" / product_name(1)
    twin.parent.mkdir()
    twin.touch()

    def refused(scenes=(scene,), output=tmp_path, weights=weights):
        finished = infer(weights, scenes, output)
        assert (finished.code, finished.out) == (2, "")
        assert finished.err.count("\n") == 1
        return finished.err.removeprefix("cloudmask infer: error: ").rstrip("\n")

    assert refused([tmp_path / "empty"]).startswith(f"no scene in {tmp_path / 'empty'}: expected ")
    assert "nowhere does not exist" in refused([tmp_path / "nowhere"])
    output = tmp_path / "file" / "masks"
    assert refused(output=output) == f"output {output} cannot be written to (Not a directory)"
    for several in ({}, {"scenes": [tmp_path / "nowhere"], "output": output}):
        assert "none cannot be read" in refused(weights=tmp_path / "none", **several)
    assert refused([scene, twin]) == (
        f"{scene} and {twin} would both be {stem(1)}.nc: give one of them"
    )


@pytest.mark.slow
def test_the_process_ends_with_the_exit_code_of_its_worst_scene(weights, scenes, tmp_path):
    command = [sys.executable, "-m", "cloudmask", "infer", "--weights", weights]
    command += ["--scenes", scenes / "day", "--output", tmp_path]
    finished = subprocess.run(list(map(str, command)), cwd=ROOT, capture_output=True, text=True)
    assert finished.returncode == 4
    assert product_name(2) in finished.stderr
