"""Masks as files: what a reader of NetCDF or HDF5 finds in them."""

import fcntl
import re
from dataclasses import replace

import h5py
import numpy as np
import pytest
import xarray as xr

import cloudmask
from cloudmask.files import replacing
from cloudmask.scenes.mask_files import Provenance, is_cloud, write_hdf5, write_netcdf

PROVENANCE = Provenance(
    product="S3A_SL_1_RBT____20240501T100000_20240501T100300_20240501T120000_0179_112_065_2160_X",
    weights="weights_7.safetensors",
    weights_sha256="abc123",
    command="infer --weights w --scenes s",
)


@pytest.fixture(scope="module")
def probability():
    """Clear, but for cloud in a block, one half in a row and missing pixels at the left."""
    values = np.full((1200, 1500), 0.25, np.float32)
    values[100:200, 300:500] = 0.75
    values[700] = 0.5
    values[:, :9] = np.nan
    return values


@pytest.fixture(scope="module")
def expected(probability):
    """The mask of `probability`: 1 cloud, 0 clear, -1 missing."""
    mask = np.zeros((1200, 1500), np.int8)
    mask[100:200, 300:500] = 1
    mask[:, :9] = -1
    return mask


@pytest.fixture(scope="module")
def netcdf(probability, tmp_path_factory):
    path = tmp_path_factory.mktemp("masks") / "mask.nc"
    latitude = np.linspace(60, 50, 1200, dtype=np.float32)[:, None].repeat(1500, axis=1)
    longitude = np.linspace(-5, 5, 1500, dtype=np.float32)[None, :].repeat(1200, axis=0)
    write_netcdf(path, probability, (latitude, longitude), PROVENANCE)
    return path


def test_cloud_is_where_the_probability_is_above_one_half():
    above = np.nextafter(np.float32(0.5), np.float32(1))
    values = np.array([0, 0.4999, 0.5, above, 1, np.nan], np.float32)
    assert is_cloud(values).tolist() == [False, False, False, True, True, False]


def test_netcdf_stores_mask_and_probability_with_their_fill_values(netcdf, probability, expected):
    with h5py.File(netcdf) as file:
        assert set(file) == {
            *("cloud_mask", "cloud_probability", "latitude", "longitude", "rows", "columns")
        }
        np.testing.assert_array_equal(file["cloud_mask"][...], expected)
        np.testing.assert_array_equal(file["cloud_probability"][...], probability)
        assert (file["cloud_mask"].dtype, file["cloud_mask"].attrs["_FillValue"]) == (np.int8, -1)
        assert file["cloud_probability"].dtype == np.float32
        assert np.isnan(file["cloud_probability"].attrs["_FillValue"])
        for name in ("cloud_mask", "cloud_probability"):
            assert (file[name].chunks, file[name].compression) == ((400, 500), "gzip")


def test_xarray_reads_missing_pixels_and_coordinates(netcdf, expected):
    with xr.open_dataset(netcdf) as data:
        np.testing.assert_array_equal(data.cloud_mask.isnull(), expected == -1)
        np.testing.assert_array_equal(data.cloud_probability.isnull(), expected == -1)
        for name in ("cloud_mask", "cloud_probability"):
            assert set(data[name].coords) == {"latitude", "longitude"}
            assert data[name].dims == ("rows", "columns")
        assert data.latitude.attrs == {"standard_name": "latitude", "units": "degrees_north"}
        assert data.longitude.attrs == {"standard_name": "longitude", "units": "degrees_east"}
        assert (float(data.latitude[0, 7]), float(data.longitude[7, 0])) == (60, -5)


def test_variables_are_described_as_cf_asks(netcdf):
    with xr.open_dataset(netcdf, mask_and_scale=False) as data:
        mask, probability = dict(data.cloud_mask.attrs), dict(data.cloud_probability.attrs)
    values = mask.pop("flag_values")
    assert (values.tolist(), values.dtype) == ([0, 1], np.int8)  # CF: the type of the variable
    assert mask == {
        "_FillValue": -1,
        "long_name": "cloud mask, probability above 0.5",
        "standard_name": "cloud_binary_mask",
        "units": "1",
        "flag_meanings": "clear cloud",
    }
    assert np.isnan(probability.pop("_FillValue"))
    assert probability == {
        "long_name": "probability of cloud",
        "units": "1",
        "ancillary_variables": "cloud_mask",
    }


def test_a_file_names_its_conventions_source_history_and_times(netcdf):
    with xr.open_dataset(netcdf) as data:
        attributes = dict(data.attrs)
    software, product = f"cloudmask {cloudmask.__version__}", PROVENANCE.product
    created = attributes.pop("date_created")
    assert re.fullmatch(r"20\d\d-\d\d-\d\dT\d\d:\d\d:\d\dZ", created)
    assert attributes == {
        "Conventions": "CF-1.8",
        "title": "Cloud mask of a Sentinel-3 SLSTR scene",
        "source": f"U-Net of {software} on {product}",
        "history": f"{created} {software}: infer --weights w --scenes s",
        "references": "MLCommons Science, CloudMask benchmark",
        "source_product": product,
        "software_version": cloudmask.__version__,
        "weights": "weights_7.safetensors",
        "weights_sha256": "abc123",
        "time_coverage_start": "2024-05-01T10:00:00Z",
        "time_coverage_end": "2024-05-01T10:03:00Z",
    }


def test_text_is_stored_as_characters_that_every_netcdf_reader_knows(netcdf):
    with h5py.File(netcdf) as file:
        assert file.attrs.get_id("title").dtype.kind == "S"
        assert file["cloud_mask"].attrs.get_id("units").dtype.kind == "S"


def test_text_in_other_letters_and_names_that_are_no_text_are_read_and_written_again(
    probability, tmp_path
):
    command = "infer --scenes Überflug/\udcff.hdf"
    write_netcdf(tmp_path / "mask.nc", probability, None, replace(PROVENANCE, command=command))
    with xr.open_dataset(tmp_path / "mask.nc", engine="h5netcdf") as data:
        assert data.attrs["history"].endswith("infer --scenes Überflug/\\udcff.hdf")
        data.to_netcdf(tmp_path / "again.nc", engine="h5netcdf")
    with xr.open_dataset(tmp_path / "again.nc", engine="h5netcdf") as again:
        assert "Überflug" in again.attrs["history"]


def test_a_product_without_sensing_times_has_no_coverage():
    attributes = Provenance("scene", "w", "0", "c").attributes()
    assert not [name for name in attributes if name.startswith("time_coverage")]


def test_without_geolocation_there_are_no_coordinates(probability, tmp_path):
    write_netcdf(tmp_path / "mask.nc", probability, None, PROVENANCE)
    with xr.open_dataset(tmp_path / "mask.nc") as data:
        assert list(data.variables) == ["cloud_probability", "cloud_mask"]
        assert not data.coords


def test_hdf5_has_the_layout_of_the_reference_and_no_missing_value(probability, expected, tmp_path):
    write_hdf5(tmp_path / "mask.h5", probability)
    with h5py.File(tmp_path / "mask.h5") as file:
        assert list(file) == ["mask"]
        assert file["mask"].dtype == np.uint8
        np.testing.assert_array_equal(file["mask"][...], expected == 1)


def write_netcdf_alone(path, probability):
    write_netcdf(path, probability, None, PROVENANCE)


@pytest.mark.parametrize("write", [write_hdf5, write_netcdf_alone])
def test_no_lock_is_needed_which_parallel_file_systems_refuse(write, probability, tmp_path):
    path = tmp_path / "mask"
    with replacing(path) as partial:
        with partial.open("wb") as holder:
            fcntl.flock(holder, fcntl.LOCK_EX)
            write(path, probability)
        path.rename(partial)
    assert path.stat().st_size > 1000


@pytest.mark.parametrize("write", [write_hdf5, write_netcdf_alone])
def test_a_mask_that_cannot_be_written_leaves_the_earlier_file(write, tmp_path):
    path = tmp_path / "mask"
    path.write_bytes(b"earlier")
    without_a_row = np.zeros((0, 4), np.float32)
    with pytest.raises(ValueError, match=r"[Cc]hunk"):
        write(path, without_a_row)
    assert path.read_bytes() == b"earlier"
    assert list(tmp_path.iterdir()) == [path]
