"""Real products, where they are at hand (they are not part of this project)."""

import h5py
import numpy as np
import pytest
from scipy.io import netcdf_file

from cloudmask.scenes.missing import missing_values
from cloudmask.scenes.readers import read_scene
from cloudmask.scenes.scene import make_scene
from cloudmask.scenes.sen3_flags import bayesian_label, pixel_flags, summary_mask
from cloudmask.scenes.sen3_grids import Grid, baseline_of_manifest, grids_of_manifest, shift_of
from tests.paths import REAL

FOLDER = REAL / "slstr"
PRODUCT = (
    "S3A_SL_1_RBT____20170315T113420_20170315T113720_20170315T135348_0179_015_237_1439_SVL_O_NR_002"
    ".SEN3"
)
SUBSET = "S3A_SL_1_RBT____20170313T110343_subset.nc"

pytestmark = pytest.mark.skipif(not FOLDER.is_dir(), reason="no real material: slstr")


@pytest.fixture(scope="module")
def scene():
    return read_scene(FOLDER / PRODUCT)


def variable(file, name):
    with h5py.File(FOLDER / PRODUCT / f"{file}.nc") as netcdf:
        return netcdf[name][...]


def test_a_product_of_1198_rows_is_read_as_it_was_measured(scene):
    assert scene.channels.shape == (1198, 1500, 9)
    for index, channel in enumerate(("S7", "S8", "S9"), 6):
        counts = variable(f"{channel}_BT_in", f"{channel}_BT_in")
        expected = np.where(counts == -32768, 0, 283.73 + 0.01 * counts)
        np.testing.assert_allclose(scene.channels[..., index], expected, rtol=1e-6)
        np.testing.assert_array_equal(scene.missing[..., index], counts == -32768)
    assert scene.baseline == 2
    assert scene.notes == (
        "S1-S6 are not in the product: their reflectances are missing",
        "102443 orphan pixels of S8 left out",
    )


def test_flags_are_the_product_s_own_pixel_by_pixel(scene):
    confidence, bayes = variable("flags_in", "confidence_in"), variable("flags_in", "bayes_in")
    unfilled = (confidence >> 5 & 1).astype(bool)
    np.testing.assert_array_equal(scene.not_measured, unfilled)
    np.testing.assert_array_equal(scene.summary, confidence >> 14 & 1)
    for name, bit in {"cosmetic": 8, "day": 10, "twilight": 11, "land": 3, "snow": 13}.items():
        np.testing.assert_array_equal(scene.flags[name], (confidence >> bit & 1) & ~unfilled)
    assert (bayes == 255).all()  # nowhere computed
    assert scene.label is None


def test_sun_angles_put_day_and_twilight_where_the_product_does(scene):
    """Its reflectances are missing by day, and 0 by night: no other angle than ours decides."""
    dark = ~scene.missing[..., :6].any(axis=-1)
    assert dark.any()
    assert not (dark & scene.flags["day"]).any()
    assert (dark <= scene.flags["twilight"]).all()


@pytest.fixture(scope="module")
def subset():
    """Variables of a day scene reduced to 24 x 30 pixels, with their attributes."""
    file = netcdf_file(FOLDER / SUBSET, mmap=False)

    def values(name, unsigned=None):
        data = file.variables[name].data
        data = data.astype(data.dtype.newbyteorder("="))
        return data if unsigned is None else data.view(unsigned)

    def unpacked(name):
        attributes = file.variables[name]._attributes
        scale, offset = attributes["scale_factor"], attributes.get("add_offset", 0)
        return np.where(
            values(name) == attributes["_FillValue"], np.nan, values(name) * scale + offset
        )

    return values, unpacked


def test_what_is_missing_of_a_day_scene_is_what_its_flags_say(subset):
    values, unpacked = subset
    radiances = [unpacked(f"S{number}_radiance_an") for number in range(1, 7)]
    kelvin = [unpacked(f"S{number}_BT_in") for number in range(7, 10)]
    # About the irradiances of the channels, mW m-2 nm-1.
    irradiances = [1858.95, 1518.0, 956.0, 365.9, 248.2, 78.3]
    refs = [np.pi * each / e for each, e in zip(radiances, irradiances, strict=True)]
    channels = np.stack([*refs, *kelvin], axis=-1).astype(np.float32)
    np.testing.assert_array_equal(missing_values(channels), np.isnan(channels))
    unfilled = (values("confidence_in", np.uint16) >> 5 & 1).astype(bool)
    np.testing.assert_array_equal(make_scene(channels).not_measured, unfilled)
    hot = np.isnan(kelvin[0]) & ~np.isnan(kelvin[1])
    land = (values("confidence_in", np.uint16) >> 3 & 1).astype(bool)
    assert hot[land].mean() > 0.5  # S7 saturates over the Sahara; the other channels are there


def test_flags_of_a_day_scene_are_known_by_name(subset):
    values, _ = subset
    confidence = values("confidence_in", np.uint16)
    flags = pixel_flags(confidence)
    np.testing.assert_array_equal(flags["day"], confidence >> 5 & 1 == 0)
    assert flags["ocean"].any()
    assert flags["land"].any()
    np.testing.assert_array_equal(summary_mask(confidence), confidence >> 14 & 1)
    assert bayesian_label(values("bayes_in", np.uint8)) is None


@pytest.mark.parametrize(
    ("name", "baseline", "shift", "rows"),
    [
        (f"{PRODUCT}/xfdumanifest.xml", 2, (0, 0), 9607),
        ("S3A_20210827_xfdumanifest.xml", 4, (-1, 0), 20437),
        ("S3B_20241113_xfdumanifest.xml", 4, (-1, 0), 21704),
    ],
)
def test_manifests_give_baseline_and_grids(name, baseline, shift, rows):
    manifest = (FOLDER / name).read_bytes()
    assert baseline_of_manifest(manifest) == baseline
    for view, track in (("nadir", 998), ("oblique", 450)):
        grids = grids_of_manifest(manifest, view)
        assert grids["i"] == Grid(rows, track)
        assert grids["t"] == Grid(rows, 64)
        assert shift_of(grids["a"], grids["i"]) == shift
