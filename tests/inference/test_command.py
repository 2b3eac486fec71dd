"""Masks of people's own scenes, from the files that come in to the files that go out."""

import hashlib
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch
import xarray as xr

import cloudmask
from cloudmask.errors import InputError
from cloudmask.inference.command import MaskOptions, infer
from cloudmask.model.unet import UNet
from cloudmask.model.weights import save_weights
from cloudmask.scenes.readers import find_scenes
from tests.paths import ROOT
from tests.scene_files import product_name, write_learnable_scene, write_scene
from tests.scenes.sen3_product import OUTSIDE, PRODUCT, write_product, zip_product

S9 = 8


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


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    path = tmp_path_factory.mktemp("weights") / "weights_0.safetensors"
    save_weights(path, cold_is_cloud())
    return path


@pytest.fixture(scope="module")
def scenes(tmp_path_factory):
    """A labelled scene, one without label but with a border, a broken one, and a product."""
    folder = tmp_path_factory.mktemp("scenes")
    write_learnable_scene(folder / "day" / product_name(1), 1)
    bts = np.full((1200, 1500, 3), 240, np.float32)
    refs = np.full((1200, 1500, 6), 0.4, np.float32)
    bts[:10] = refs[:10] = 0
    write_scene(folder / "day" / product_name(2), bts=bts, refs=refs, bayes=None)
    (folder / "day" / product_name(3)).write_bytes(b"not a scene")
    product = write_product(folder)
    zip_product(product, folder / f"{PRODUCT}.zip")
    product.rename(folder / "kept_for_later")
    return folder


def stem(number):
    return product_name(number).removesuffix(".hdf")


def run(weights, scenes, output, *flags):
    """`python -m cloudmask infer` in a process of its own."""
    command = [sys.executable, "-m", "cloudmask", "infer", "--weights", weights]
    command += ["--scenes", *scenes, "--output", output, *flags]
    return subprocess.run(
        list(map(str, command)), cwd=ROOT, capture_output=True, text=True, timeout=300
    )


@pytest.fixture(scope="module")
def done(weights, scenes, tmp_path_factory):
    output = tmp_path_factory.mktemp("masks")
    return run(weights, [scenes], output), output


def test_a_broken_scene_is_named_and_the_others_are_masked(done):
    finished, output = done
    assert finished.returncode == 1
    assert finished.stderr.count("\n") == 1
    assert f"failed: {product_name(3)}: the file is not HDF5" in finished.stderr
    assert f"3 masks written to {output}, 0 kept, 1 failed" in finished.stdout
    assert {path.name for path in output.iterdir()} == {
        f"{name}.nc" for name in (stem(1), stem(2), PRODUCT)
    }


def test_the_mask_is_what_the_network_sees(done, scenes):
    finished, output = done
    with h5py.File(scenes / "day" / product_name(1)) as scene:
        truth = scene["truth"][..., 0]
    with xr.open_dataset(output / f"{stem(1)}.nc") as data:
        np.testing.assert_array_equal(data.cloud_mask, truth)
        np.testing.assert_array_equal(data.cloud_probability > 0.5, truth)
        assert data.cloud_probability.dtype == np.float32
    assert (
        f"{stem(1)}.nc   cloud {truth.mean():.4f}   as bayes 1.0000   as summary 1.0000"
        in finished.stdout
    )


def test_scenes_without_label_are_masked_and_their_border_is_missing(done):
    finished, output = done
    with xr.open_dataset(output / f"{stem(2)}.nc") as data:
        assert data.cloud_mask[:10].isnull().all()
        assert data.cloud_probability[:10].isnull().all()
        assert (data.cloud_mask[10:] == 1).all()
    assert f"{stem(2)}.nc   cloud 1.0000   as summary 0.0000\n" in finished.stdout


def test_masks_of_products_have_positions(done):
    _, output = done
    with xr.open_dataset(output / f"{PRODUCT}.nc") as data:
        assert set(data.cloud_mask.coords) == {"latitude", "longitude"}
        assert data.latitude.attrs["units"] == "degrees_north"
        assert float(data.latitude[1000, 5]) == pytest.approx(50 - 9, abs=1e-4)
        assert float(data.longitude[5, 1000]) == pytest.approx(-10 + 14, abs=1e-4)
        assert data.cloud_mask[:, :OUTSIDE].isnull().all()
        assert data.cloud_mask[:, OUTSIDE:].notnull().all()
        # S9 of the product falls by 0.02 K a row and rises by 0.01 K a column from 292.73 K.
        assert data.cloud_mask[0, OUTSIDE:].max() == 0
        assert data.cloud_mask[1199, OUTSIDE] == 1
        assert data.attrs["time_coverage_start"] == "2024-05-01T10:00:00Z"


def test_masks_are_described_as_cf_asks(done, weights):
    _, output = done
    with xr.open_dataset(output / f"{PRODUCT}.nc", mask_and_scale=False) as data:
        assert data.attrs["Conventions"] == "CF-1.8"
        assert data.attrs["source_product"] == PRODUCT
        digest = hashlib.sha256(weights.read_bytes()).hexdigest()
        assert data.attrs["weights_sha256"] == digest
        assert data.attrs["software_version"] == cloudmask.__version__
        assert f"infer --weights {weights}" in data.attrs["history"]
        mask = data.cloud_mask
        assert mask.dtype == mask.attrs["flag_values"].dtype == np.int8
        assert mask.attrs["flag_values"].tolist() == [0, 1]
        assert mask.attrs["flag_meanings"] == "clear cloud"
        assert mask.attrs["standard_name"] == "cloud_binary_mask"
        assert set(np.unique(mask)) == {-1, 0, 1}
        assert mask.attrs["_FillValue"] == -1
        for variable in (mask, data.cloud_probability):
            assert variable.attrs["units"] == "1"
            assert variable.attrs["long_name"]
            assert variable.dims == ("rows", "columns")
            assert variable.encoding["chunksizes"] == (400, 500)
            assert variable.encoding["zlib"]


def test_masks_that_are_there_are_kept(done, weights, scenes, capsys):
    _, output = done
    mask = output / f"{stem(1)}.nc"
    before = mask.read_bytes()
    assert infer(MaskOptions(weights, [scenes / "day" / product_name(1)], output)) == 0
    assert f"0 masks written to {output}, 1 kept, 0 failed" in capsys.readouterr().out
    assert mask.read_bytes() == before


def test_hdf5_masks_have_the_layout_of_the_reference_and_replace_older_ones(
    weights, scenes, tmp_path
):
    mask = tmp_path / f"{stem(2)}.h5"
    mask.write_bytes(b"an older mask")
    scene = scenes / "day" / product_name(2)
    assert infer(MaskOptions(weights, [scene], tmp_path, format="hdf5", overwrite=True)) == 0
    with h5py.File(mask) as file:
        assert list(file) == ["mask"]
        values = file["mask"][...]
    assert (values.shape, values.dtype) == ((1200, 1500), np.uint8)
    assert values[:10].max() == 0
    assert values[10:].min() == 1
    assert list(tmp_path.iterdir()) == [mask]


def test_a_mask_that_cannot_be_written_leaves_nothing_behind(weights, scenes, tmp_path, capsys):
    scene = scenes / "day" / product_name(2)
    (tmp_path / f"{stem(2)}.nc" / "in_the_way").mkdir(parents=True)
    assert infer(MaskOptions(weights, [scene], tmp_path, overwrite=True)) == 1
    assert f"failed: {scene.name}: " in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == [f"{stem(2)}.nc"]


def test_bad_requests_are_refused_in_one_sentence(weights, scenes, tmp_path):
    finished = run(weights, [tmp_path], tmp_path / "masks")
    assert finished.returncode == 2
    assert finished.stderr.startswith(f"cloudmask infer: error: no scene in {tmp_path}: expected ")
    assert finished.stderr.count("\n") == 1


def refusal(**changes):
    options = replace(MaskOptions(Path("w"), [], Path("out")), **changes)
    with pytest.raises(InputError) as caught:
        infer(options)
    return str(caught.value)


def test_paths_that_cannot_be_used_are_refused_by_name(weights, scenes, tmp_path):
    scene = scenes / "day" / product_name(1)
    assert "nowhere does not exist" in refusal(scenes=[tmp_path / "nowhere"])
    (tmp_path / "file").touch()
    message = refusal(scenes=[scene], output=tmp_path / "file" / "masks")
    assert f"output {tmp_path / 'file' / 'masks'} cannot be written to" in message
    message = refusal(scenes=[scene], output=tmp_path, weights=tmp_path / "none")
    assert "none cannot be read" in message
    twin = tmp_path / "copy" / product_name(1)
    twin.parent.mkdir()
    twin.touch()
    message = refusal(scenes=[scene, twin], output=tmp_path)
    assert message == f"{scene} and {twin} would both be {stem(1)}.nc: give one of them"


def test_folders_are_searched_for_scenes_and_products(tmp_path):
    product = tmp_path / "b" / f"{PRODUCT}.SEN3"
    product.mkdir(parents=True)
    (product / "S3A_inside.hdf").touch()
    archive = tmp_path / "c" / f"{PRODUCT}.zip"
    archive.parent.mkdir()
    archive.touch()
    scene = tmp_path / "a" / product_name(1)
    scene.parent.mkdir()
    scene.touch()
    (tmp_path / "photos.zip").touch()
    assert find_scenes([tmp_path]) == [scene, product, archive]
    assert find_scenes([scene, tmp_path]) == [scene, product, archive]
    assert find_scenes([tmp_path / "photos.zip"]) == [tmp_path / "photos.zip"]
