"""The command `infer`, from the files that come in to the files that go out."""

import contextlib
import hashlib
import io
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import zipfile
from dataclasses import dataclass, replace

import h5py
import numpy as np
import pytest
import torch
import xarray as xr

from cloudmask.cli import main
from cloudmask.model.card import Card
from cloudmask.model.unet import UNet
from cloudmask.model.weights import save_weights
from cloudmask.scenes.readers import read_scene
from tests.paths import ROOT
from tests.scene_files import product_name, write_scene
from tests.scenes.scene_formats import BORDER, Pixels, Sen3Zip
from tests.scenes.sen3_product import PRODUCT, small_content, write_product, write_view

S9 = 8
COLD = (slice(300, 600), slice(200, 900))
COLD_SHARE = 300 * 700 / (1200 * 1500)


def cold_is_cloud() -> UNet:
    """A U-Net whose probability is above one half where S9 is colder than 269.56 K."""
    network = UNet(widths=(1, 1, 1, 1))
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.zero_()
        first, last = network.down[0], network.up[-1]
        first.convolution_a.weight[0, S9, 1, 1] = -1  # what is cold is positive
        first.convolution_b.weight[0, 0, 1, 1] = 1
        last.convolution_a.weight[0, 1, 1, 1] = 1  # the skipped features come second
        last.convolution_b.weight[0, 0, 1, 1] = 1
        network.output.weight[:] = 10
        network.output.bias[:] = -0.2
    return network


def stem(number):
    return product_name(number).removesuffix(".hdf")


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    path = tmp_path_factory.mktemp("weights") / "weights_0.safetensors"
    save_weights(path, cold_is_cloud(), Card(dataset="synthetic", validation_accuracy=0.9))
    return path


@pytest.fixture(scope="module")
def scenes(tmp_path_factory):
    """A labelled scene, a broken one, one without label but with a border, and a product."""
    folder = tmp_path_factory.mktemp("scenes")
    bts = np.full((1200, 1500, 3), 285, np.float32)
    bts[COLD] = 240
    bayes = np.zeros((1200, 1500, 1), np.float32)
    bayes[COLD] = 2
    write_scene(folder / "day" / product_name(1), bts=bts, bayes=bayes, summary=1)
    (folder / "day" / product_name(2)).write_bytes(b"not a scene")
    bts[:], bts[:10] = 240, 0
    refs = np.full((1200, 1500, 6), 0.4, np.float32)
    refs[:10] = 0
    write_scene(folder / "day" / product_name(3), bts=bts, refs=refs, bayes=None)
    archive = Sen3Zip().write(folder, Pixels())
    (folder / f"{PRODUCT}.SEN3").rename(folder / "unpacked")
    assert archive.parent == folder
    return folder


@dataclass
class Finished:
    """What a command left: its exit code and its lines."""

    code: int
    out: str
    err: str


def infer(weights, scenes, output, *flags):
    """The command `infer` of these scenes into `output`."""
    arguments = ["infer", "--weights", weights, "--scenes", *scenes, "--output", output, *flags]
    with (
        contextlib.redirect_stdout(io.StringIO()) as out,
        contextlib.redirect_stderr(io.StringIO()) as err,
    ):
        code = main(list(map(str, arguments)))
    return Finished(code, out.getvalue(), err.getvalue())


@pytest.fixture(scope="module")
def masked(weights, scenes, tmp_path_factory):
    output = tmp_path_factory.mktemp("masks")
    return infer(weights, [scenes], output), output


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


def test_the_mask_is_what_the_network_sees(masked):
    with xr.open_dataset(masked[1] / f"{stem(1)}.nc") as data:
        cloud = np.zeros((1200, 1500), bool)
        cloud[COLD] = True
        np.testing.assert_array_equal(data.cloud_mask, cloud)
        np.testing.assert_array_equal(data.cloud_probability > 0.5, cloud)


def test_borders_without_measurements_are_missing_and_cold_pixels_next_to_them_are_not(masked):
    with xr.open_dataset(masked[1] / f"{stem(3)}.nc") as data:
        assert data.cloud_mask[:10].isnull().all()
        assert data.cloud_probability[:10].isnull().all()
        assert (data.cloud_mask[10:] == 1).all()


def test_masks_of_products_have_the_positions_of_their_pixels(masked):
    with xr.open_dataset(masked[1] / f"{PRODUCT}.nc") as data:
        assert set(data.cloud_mask.coords) == {"latitude", "longitude", "rows", "columns"}
        assert float(data.latitude[1000, 5]) == pytest.approx(50 - 9, abs=1e-4)
        assert float(data.longitude[5, 1000]) == pytest.approx(-10 + 14, abs=1e-4)
        assert data.cloud_mask[:BORDER].isnull().all()
        assert data.cloud_mask[BORDER:].notnull().all()


def test_a_mask_names_its_scene_weights_and_command(masked, weights, scenes):
    with xr.open_dataset(masked[1] / f"{stem(1)}.nc") as data:
        attributes = data.attrs
    path = scenes / "day" / product_name(1)
    assert attributes["source_product"] == stem(1)
    assert attributes["weights"] == "weights_0.safetensors"
    assert attributes["weights_sha256"] == hashlib.sha256(weights.read_bytes()).hexdigest()
    assert attributes["history"].endswith(f": infer --weights {weights} --scenes {path}")


def small_product(folder):
    return write_product(folder, small_content())


@pytest.mark.parametrize("flags", [(), ("--format", "hdf5")])
def test_a_mask_that_would_be_the_same_is_kept_and_another_one_is_told(weights, tmp_path, flags):
    product, masks = small_product(tmp_path), tmp_path / "masks"
    assert infer(weights, [product], masks, *flags).code == 0
    (mask,) = masks.iterdir()
    first = mask.read_bytes()
    finished = infer(weights, [product], masks, *flags)
    assert (finished.code, finished.err) == (0, "")
    assert finished.out.endswith(f"0 masks written to {masks}, 1 kept, 0 failed\n")
    other = tmp_path / "weights_1.safetensors"
    save_weights(other, UNet(widths=(1, 1, 1, 1)))
    for given, reason in (
        ((other,), "weights_sha256"),
        ((weights, "--threshold", "0.1"), "cloud_threshold"),
        ((other, "--tiling", "reference"), "weights_sha256 and tiling"),
    ):
        finished = infer(given[0], [product], masks, *flags, *given[1:])
        assert finished.code == 4
        assert finished.err == (
            f"cloudmask infer: failed: {mask} exists and was made with another {reason}: give "
            "--overwrite, or another --output\n"
        )
        assert finished.out.endswith("0 kept, 1 made otherwise and kept, 0 failed\n")
        assert mask.read_bytes() == first
    finished = infer(other, [product], masks, *flags, "--overwrite")
    assert (finished.code, finished.err) == (0, "")
    assert mask.read_bytes() != first
    assert list(masks.iterdir()) == [mask]


def test_a_file_that_is_no_mask_is_not_taken_for_one(weights, tmp_path):
    product, mask = small_product(tmp_path), tmp_path / "masks" / f"{PRODUCT}.nc"
    mask.parent.mkdir()
    mask.write_bytes(b"something else")
    finished = infer(weights, [product], mask.parent)
    assert finished.code == 4
    assert mask.read_bytes() == b"something else"


def test_the_threshold_decides_and_the_temperature_only_scales_the_probability(tmp_path):
    network = UNet(widths=(1, 1, 1, 1))
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.zero_()
        network.output.bias[:] = -1.0
    weights = tmp_path / "weights_0.safetensors"
    save_weights(weights, network, Card(dataset="ds1", temperature=2.0))
    product = small_product(tmp_path)
    for threshold, cloudy in (("0.3", 1), ("0.4", 0)):
        folder = tmp_path / threshold
        finished = infer(weights, [product], folder, "--threshold", threshold)
        assert finished.out.startswith("weights weights_0.safetensors: trained on data set ds1")
        with xr.open_dataset(folder / f"{PRODUCT}.nc") as data:
            assert float(data.cloud_mask.min()) == float(data.cloud_mask.max()) == cloudy
            expected = 1 / (1 + np.exp(0.5))
            assert float(data.cloud_probability.max()) == pytest.approx(expected, abs=0.0051)
            assert data.attrs["weights_trained_on"] == "data set ds1"
            assert data.attrs["platform"] == "Sentinel-3A"
            assert data.attrs["processing_baseline"] == "004"


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


def test_hdf5_masks_have_the_layout_of_the_reference(weights, scenes, tmp_path):
    scene, mask = scenes / "day" / product_name(3), tmp_path / f"{stem(3)}.h5"
    assert infer(weights, [scene], tmp_path, "--format", "hdf5").code == 0
    with h5py.File(mask) as file:
        assert list(file) == ["mask"]
        values = file["mask"][...]
    assert (values.shape, values.dtype) == ((1200, 1500), np.uint8)
    assert values[:10].max() == 0
    assert values[10:].min() == 1
    assert list(tmp_path.iterdir()) == [mask]


def test_the_reference_tiling_gives_the_same_mask_here(weights, scenes, tmp_path, masked):
    """The network looks at one pixel only, so tiles and whole scene cannot differ."""
    scene = scenes / "day" / product_name(1)
    assert infer(weights, [scene], tmp_path, "--tiling", "reference").code == 0
    with (
        xr.open_dataset(tmp_path / f"{stem(1)}.nc") as tiled,
        xr.open_dataset(masked[1] / f"{stem(1)}.nc") as whole,
    ):
        np.testing.assert_array_equal(tiled.cloud_mask, whole.cloud_mask)


@pytest.mark.parametrize("tiling", ["whole", "reference"])
def test_the_tiling_that_was_asked_for_is_used(weights, scenes, tmp_path, monkeypatch, tiling):
    used = []

    def record(network, image, precision, batch_size, tiling, temperature):
        used.append(tiling)
        return np.zeros(image.shape[:2], np.float32)

    monkeypatch.setattr("cloudmask.inference.masker.predict_scene", record)
    scene = scenes / "day" / product_name(1)
    assert infer(weights, [scene], tmp_path, "--tiling", tiling).code == 0
    assert used == [tiling]


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


def test_a_scene_without_any_measurement_has_no_share_of_cloud(weights, tmp_path):
    path = write_scene(tmp_path / product_name(5), refs=0.0, bts=0.0)
    finished = infer(weights, [path], tmp_path)
    assert finished.code == 0
    assert f"\n{stem(5)}.nc   no pixel was measured\n" in finished.out


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
    assert "none cannot be read" in refused(weights=tmp_path / "none")
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


def test_both_views_of_a_product_get_a_mask_and_several_baselines_a_note(weights, tmp_path):
    product = write_product(tmp_path / "scenes", small_content())
    write_view(product, small_content((38, 36)), "o")
    finished = infer(weights, [product], tmp_path / "masks", "--view", "oblique")
    assert finished.code == 0
    old = write_scene(tmp_path / "scenes" / product_name(1))
    finished = infer(weights, [product, old], tmp_path / "masks")
    assert finished.code == 0
    assert "note: the scenes are of processing baselines 003, 004: " in finished.out
    shapes = {PRODUCT: (38, 60), f"{PRODUCT}_oblique": (38, 36)}
    for name, shape in shapes.items():
        with xr.open_dataset(tmp_path / "masks" / f"{name}.nc") as mask:
            assert mask.cloud_mask.shape == shape
            assert mask.attrs["history"].endswith("--view oblique") == (name != PRODUCT)


def test_notes_on_a_scene_are_printed_with_its_mask(weights, tmp_path):
    content = replace(small_content(), radiances=[None] * 6)
    finished = infer(weights, [write_product(tmp_path, content)], tmp_path / "masks")
    assert finished.code == 0
    assert "(S1-S6 are not in the product: their reflectances are missing)" in finished.out
