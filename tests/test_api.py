"""`cloudmask.mask`: the masks of `infer` as data sets, of files, arrays and dask arrays."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
import torch
import xarray as xr

import cloudmask
from cloudmask.cli import main
from cloudmask.errors import InputError
from cloudmask.inference import lazy
from cloudmask.model.card import Card
from cloudmask.model.unet import UNet
from cloudmask.model.weights import save_weights
from tests.paths import ROOT
from tests.scenes.sen3_product import PRODUCT, small_content, write_product

SHAPE = (203, 310)


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    """A network whose probabilities depend on all that it sees, and lie at both sides of 0.5."""
    torch.manual_seed(5)
    network = UNet(widths=(2, 3, 4, 5))
    with torch.no_grad():
        image = torch.rand(1, 9, 128, 128) - 0.5
        image[:, 6:] = 2.27 * image[:, 6:] + 0.23  # 250 to 300 K
        network.output.weight *= 20
        network.output.bias -= network(image).median()
    path = tmp_path_factory.mktemp("weights") / "weights_0.safetensors"
    save_weights(path, network, Card(dataset="synthetic", temperature=1.5))
    return path


@pytest.fixture(scope="module")
def channels():
    """Noise with a border and a hole that nothing measured, and a hole in S7 alone."""
    rng = np.random.default_rng(2)
    refs = rng.random((*SHAPE, 6), np.float32)
    bts = (250 + 50 * rng.random((*SHAPE, 3))).astype(np.float32)
    refs[:, :20] = bts[:, :20] = np.nan
    refs[100:120, 100:130], bts[100:120, 100:130] = np.nan, 0
    bts[60:90, 200:240, 0] = -32768
    return np.concatenate([refs, bts], axis=-1)


def dataset(channels, **attributes):
    names = [f"S{number}" for number in range(1, 10)]
    variables = {name: (("y", "x"), channels[..., i]) for i, name in enumerate(names)}
    return xr.Dataset(variables, attrs=attributes)


def test_importing_cloudmask_loads_nothing_heavy():
    code = (
        "import sys, cloudmask; assert not {'numpy', 'torch', 'xarray'} & set(sys.modules); "
        "cloudmask.mask; assert 'torch' in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)
    with pytest.raises(AttributeError, match="no attribute 'masks'"):
        cloudmask.masks  # noqa: B018


def test_the_mask_of_a_product_is_what_infer_writes(weights, tmp_path):
    product = write_product(tmp_path, small_content())
    found = cloudmask.mask(product, weights, threshold=0.4)
    assert (
        main(
            list(
                map(
                    str,
                    (
                        "infer",
                        "--weights",
                        weights,
                        "--scenes",
                        product,
                        "--output",
                        tmp_path / "m",
                        "--threshold",
                        "0.4",
                    ),
                )
            )
        )
        == 0
    )
    with xr.open_dataset(tmp_path / "m" / f"{PRODUCT}.nc") as written:
        xr.testing.assert_equal(
            found.drop_vars("cloud_probability"), written.drop_vars("cloud_probability")
        )
        np.testing.assert_allclose(found.cloud_probability, written.cloud_probability, atol=0.0051)
        same = set(written.attrs) - {"history", "date_created"}
        assert {name: found.attrs[name] for name in same} == {n: written.attrs[n] for n in same}
    found.to_netcdf(tmp_path / "again.nc", engine="h5netcdf")
    with xr.open_dataset(tmp_path / "again.nc", engine="h5netcdf") as again:
        xr.testing.assert_equal(again.cloud_mask, found.cloud_mask)
        assert again.cloud_probability.encoding["dtype"] == np.uint8


def test_arrays_by_channel_in_percent_or_in_groups_give_the_same_mask(weights, channels):
    by_name = dataset(channels)
    percent = by_name.copy(deep=True)
    for name in ("S1", "S6"):
        percent[name] = percent[name] * 100
        percent[name].attrs["units"] = "%"
    groups = xr.Dataset(
        {"refs": (("y", "x", "s"), channels[..., :6]), "bts": (("y", "x", "t"), channels[..., 6:])}
    )
    before = channels.copy()
    masks = [cloudmask.mask(each, weights) for each in (by_name, percent, groups)]
    np.testing.assert_array_equal(channels, before)
    for other in masks[1:]:
        np.testing.assert_array_equal(masks[0].pixel_flags, other.pixel_flags)
        np.testing.assert_allclose(masks[0].cloud_probability, other.cloud_probability, atol=1e-5)
    assert 0.05 < float(masks[0].cloud_mask.mean()) < 0.95
    assert masks[0].cloud_mask[:, :20].isnull().all()
    assert masks[0].attrs["comment"].startswith("the input has no positions")


def test_positions_are_taken_over_whatever_the_order_of_their_axes(weights, channels):
    given = dataset(channels, source_product=PRODUCT)
    latitude, longitude = np.mgrid[50 : 40 : SHAPE[0] * 1j, 0 : 10 : SHAPE[1] * 1j]
    given = given.assign_coords(
        latitude=(("y", "x"), latitude), longitude=(("x", "y"), longitude.T)
    )
    found = cloudmask.mask(given, weights)
    np.testing.assert_allclose(found.longitude[0], longitude[0], rtol=1e-6)
    assert (found.attrs["geospatial_lat_min"], found.attrs["geospatial_lat_max"]) == (40, 50)
    assert found.attrs["platform"] == "Sentinel-3A"


@pytest.mark.parametrize("chunks", [{"y": 70, "x": 90}, {"y": 203, "x": 310}])
def test_dask_arrays_give_the_mask_of_the_whole_image_and_stay_lazy(
    weights, channels, monkeypatch, chunks
):
    pytest.importorskip("dask", reason="no dask")
    monkeypatch.setattr(lazy, "PART_PIXELS", 100)
    whole = cloudmask.mask(dataset(channels), weights)
    found = cloudmask.mask(dataset(channels).chunk(chunks), weights)
    assert all(variable.chunks is not None for variable in found.data_vars.values())
    assert max(found.cloud_probability.data.numblocks) > 2
    found = found.compute()
    np.testing.assert_allclose(found.cloud_probability, whole.cloud_probability, atol=2e-3)
    np.testing.assert_array_equal(found.pixel_flags, whole.pixel_flags)
    clear_cut = abs(whole.cloud_probability - 0.5) > 2e-3
    np.testing.assert_array_equal(
        found.cloud_mask.where(clear_cut), whole.cloud_mask.where(clear_cut)
    )
    assert found.cloud_mask.dtype == whole.cloud_mask.dtype


@pytest.mark.parametrize("length", [96, 104, 512, 640, 1296, 1600])
def test_parts_are_whole_cells_that_cover_the_axis(length):
    parts = lazy._parts(length)
    assert sum(parts) == length
    assert all(part % 8 == 0 and part >= lazy.OVERLAP for part in parts)


def test_data_sets_that_cannot_be_masked_are_refused(weights, channels):
    given = dataset(channels)
    with pytest.raises(
        InputError, match=r"^the data set has no S3, S8: give reflectances S1 to S6"
    ):
        cloudmask.mask(given.drop_vars(["S3", "S8"]), weights)
    celsius = given.copy()
    celsius["S8"] = celsius["S8"].assign_attrs(units="celsius")
    with pytest.raises(InputError, match=r"^S8 has units celsius: give"):
        cloudmask.mask(celsius, weights)
    fine = given.drop_vars("S1").assign(S1=(("yf", "xf"), np.zeros((406, 620), np.float32)))
    with pytest.raises(InputError, match=r"^S\d has shape .*: give"):
        cloudmask.mask(fine, weights)
    groups = xr.Dataset(
        {"refs": (("y", "x", "s"), channels[..., :5]), "bts": (("y", "x", "t"), channels[..., 6:])}
    )
    with pytest.raises(InputError, match=r"^refs has shape \(203, 310, 5\) and bts"):
        cloudmask.mask(groups, weights)
    with pytest.raises(InputError, match="threshold is 2: give a probability"):
        cloudmask.mask(given, weights, threshold=2)


def test_without_xarray_one_sentence_says_how_to_install_it(weights, monkeypatch):
    monkeypatch.setitem(sys.modules, "xarray", None)
    with pytest.raises(InputError, match=r"needs xarray.*pip install xarray$"):
        cloudmask.mask("scene.hdf", weights)
