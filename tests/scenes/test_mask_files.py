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
from cloudmask.scenes import mask_files
from cloudmask.scenes.mask_attributes import WITHOUT_POSITIONS, Provenance
from cloudmask.scenes.mask_files import read_attributes
from cloudmask.scenes.mask_variables import (
    FLAG_BITS,
    cloud_mask,
    flag_bits,
    is_cloud,
    mask_variables,
    near_edge,
    packed_probability,
    quality_level,
)

PROVENANCE = Provenance(
    product="S3A_SL_1_RBT____20240501T100000_20240501T100300_20240501T120000_0179_112_065_2160_X",
    weights="weights_7.safetensors",
    weights_sha256="abc123",
    command="infer --weights w --scenes s",
    trained_on="synthetic scenes",
    card='{"dataset": "synthetic"}',
    baseline=4,
)


def write_netcdf(path, probability, geolocation, provenance):
    """A mask of a scene in which every pixel with a probability has all channels."""
    missing = np.isnan(probability)[..., None].repeat(9, axis=-1)
    variables = mask_variables(probability, flag_bits(missing, {}), {}, provenance.threshold)
    mask_files.write_netcdf(path, variables, geolocation, provenance.attributes(geolocation))


def write_hdf5(path, probability):
    mask_files.write_hdf5(path, cloud_mask(probability, 0.5), PROVENANCE.attributes(None))


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
            *("cloud_mask", "cloud_probability", "pixel_flags", "quality_level"),
            *("latitude", "longitude", "rows", "columns"),
        }
        np.testing.assert_array_equal(file["cloud_mask"][...], expected)
        stored = file["cloud_probability"][...]
        np.testing.assert_array_equal(stored[:, 9:], np.ceil(200 * probability[:, 9:]))
        assert stored[:, :9].min() == 255
        assert (file["cloud_mask"].dtype, file["cloud_mask"].attrs["_FillValue"]) == (np.int8, -1)
        assert file["cloud_probability"].dtype == np.uint8
        assert file["cloud_probability"].attrs["_FillValue"] == 255
        for name in ("cloud_mask", "cloud_probability"):
            assert (file[name].chunks, file[name].compression) == ((400, 500), "gzip")


def test_xarray_reads_missing_pixels_and_coordinates(netcdf, expected):
    with xr.open_dataset(netcdf) as data:
        np.testing.assert_array_equal(data.cloud_mask.isnull(), expected == -1)
        np.testing.assert_array_equal(data.cloud_probability.isnull(), expected == -1)
        for name in ("cloud_mask", "cloud_probability"):
            assert set(data[name].coords) == {"latitude", "longitude", "rows", "columns"}
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
        "ancillary_variables": "pixel_flags quality_level",
    }
    assert probability.pop("scale_factor") == pytest.approx(0.005)
    assert probability == {
        "_FillValue": 255,
        "long_name": "probability that the Bayesian screen would flag cloud",
        "units": "1",
        "ancillary_variables": "cloud_mask pixel_flags quality_level",
    }


def test_a_file_names_its_conventions_source_history_and_times(netcdf):
    with xr.open_dataset(netcdf) as data:
        attributes = dict(data.attrs)
    software, product = f"cloudmask {cloudmask.__version__}", PROVENANCE.product
    created = attributes.pop("date_created")
    assert re.fullmatch(r"20\d\d-\d\d-\d\dT\d\d:\d\d:\d\dZ", created)
    assert attributes.pop("summary").endswith("was trained on synthetic scenes.")
    assert attributes == {
        "Conventions": "CF-1.8, ACDD-1.3",
        "title": "Cloud mask of a Sentinel-3 SLSTR scene",
        "source": f"U-Net of {software} on {product}",
        "history": f"{created} {software}: infer --weights w --scenes s",
        "references": "MLCommons Science, CloudMask benchmark",
        "source_product": product,
        "software_version": cloudmask.__version__,
        "weights": "weights_7.safetensors",
        "weights_sha256": "abc123",
        "weights_trained_on": "synthetic scenes",
        "weights_card": '{"dataset": "synthetic"}',
        "cloud_threshold": 0.5,
        "tiling": "whole",
        "view": "nadir",
        "keywords": "cloud mask, SLSTR, Sentinel-3, sea surface temperature",
        "cdm_data_type": "Swath",
        "processing_level": "Level 2",
        "processing_baseline": "004",
        "reflectance_scale": "without vicarious correction, as before baseline 005",
        "platform": "Sentinel-3A",
        "instrument": "SLSTR",
        "geospatial_lat_min": 50,
        "geospatial_lat_max": 60,
        "geospatial_lon_min": -5,
        "geospatial_lon_max": 5,
        "geospatial_lat_units": "degrees_north",
        "geospatial_lon_units": "degrees_east",
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
    attributes = Provenance("scene", "w", "0", "c").attributes(None)
    assert not [name for name in attributes if name.startswith("time_coverage")]


def test_without_geolocation_there_are_no_coordinates(probability, tmp_path):
    write_netcdf(tmp_path / "mask.nc", probability, None, PROVENANCE)
    with xr.open_dataset(tmp_path / "mask.nc") as data:
        assert "latitude" not in data.variables
        assert set(data.coords) == {"rows", "columns"}
        assert data.attrs["comment"] == WITHOUT_POSITIONS


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


def test_a_stored_probability_is_on_the_same_side_of_thresholds_of_two_decimals():
    probability = np.random.default_rng(1).random(100_000).astype(np.float32)
    probability[:2] = 0, 1
    unpacked = packed_probability(probability) * np.float32(0.005)
    for threshold in (0.1, 0.25, 0.5, 0.9):
        np.testing.assert_array_equal(
            unpacked > threshold + 1e-6, is_cloud(probability, threshold), str(threshold)
        )
    assert np.abs(unpacked - probability).max() <= 0.0051


def test_flags_say_what_is_missing_and_what_is_near_it():
    missing = np.zeros((80, 90, 9), bool)
    missing[40, 45] = True
    missing[60, 70, 6] = True
    land = np.zeros((80, 90), bool)
    land[30, 30] = True
    bits = flag_bits(missing, {"land": land, "unheard_of": land})
    assert bits.dtype == np.uint16
    assert bits[40, 45] == FLAG_BITS["not_measured"]
    assert bits[60, 70] == FLAG_BITS["channel_missing"] | FLAG_BITS["near_edge"]
    assert bits[30, 30] == FLAG_BITS["land"] | FLAG_BITS["near_edge"]
    near = bits & FLAG_BITS["near_edge"] > 0
    assert near[40, 30]
    assert not near[40, 29]
    assert near[14, 20]
    assert not near[15, 20]


def test_what_lies_outside_the_image_makes_an_edge():
    inside = np.ones((80, 80), bool)
    inside[:20] = False
    near = near_edge(np.zeros((80, 80, 9), bool), inside)
    assert near[34, 40]
    assert not near[35, 40]


def test_quality_levels_are_those_of_their_definition():
    probability = np.array([np.nan, 0.8, 0.05, 0.05, 0.05, 0.05, 0.3, 0.1], np.float32)
    flagged = ["not_measured", None, "channel_missing", "saturated", "near_edge", "cosmetic"]
    bits = np.array([FLAG_BITS.get(name, 0) for name in [*flagged, None, None]], np.uint16)
    assert quality_level(probability, bits, 0.5).tolist() == [0, 1, 2, 2, 3, 3, 4, 5]
    assert quality_level(probability, bits, 0.1).tolist() == [0, 1, 2, 2, 3, 3, 1, 5]


def test_only_flags_that_the_input_knows_are_listed():
    probability = np.zeros((4, 4), np.float32)
    known = {"day": probability > 1, "land": probability > 1}
    bits = np.zeros((4, 4), np.uint16)
    attributes = mask_variables(probability, bits, known)["pixel_flags"].attributes
    assert attributes["flag_meanings"] == "not_measured channel_missing near_edge land day"
    assert attributes["flag_masks"].tolist() == [1, 2, 4, 32, 128]


def test_the_first_row_is_the_uppermost_for_gdal_whose_rows_run_against_the_y_axis(netcdf):
    with h5py.File(netcdf) as file:
        assert file["rows"].attrs["axis"] == b"Y"
        assert "units" not in file["rows"].attrs  # with units, GDAL 3.10 turns the rows round
        assert (file["rows"][0], file["rows"][-1]) == (1199, 0)
        assert file["cloud_mask"].dims[0][0].name == "/rows"


@pytest.mark.parametrize(
    ("longitude", "bounds"),
    [([-5, 5], (-5, 5)), ([170, 179.5, -175], (170, -175)), (list(range(-180, 180)), (-180, 180))],
)
def test_longitude_bounds_go_the_short_way_round(longitude, bounds):
    values = np.array([longitude], np.float32)
    attributes = PROVENANCE.attributes((np.zeros_like(values), values))
    found = attributes["geospatial_lon_min"], attributes["geospatial_lon_max"]
    assert found == pytest.approx(bounds)


def test_attributes_of_both_formats_are_read_again(netcdf, probability, tmp_path):
    write_hdf5(tmp_path / "mask.h5", probability)
    (tmp_path / "text").write_text("no mask")
    for path in (netcdf, tmp_path / "mask.h5"):
        found = read_attributes(path)
        assert {name: found[name] for name in PROVENANCE.made_with()} == PROVENANCE.made_with()
    assert read_attributes(tmp_path / "text") == {}
