"""Threshold screen: each test at its threshold, by day and by night, over sea and over land."""

import numpy as np
import pytest

from cloudmask.science.pixel_features import PixelFeatures
from cloudmask.science.screens.threshold import TESTS, threshold_flags
from tests.science.pixels import (
    CLEAR_LAND_DAY,
    CLEAR_SEA_DAY,
    CLEAR_SEA_NIGHT,
    MIDDLE,
    uniform_scene,
    with_bands,
)

NIGHT, DAY, LAND = CLEAR_SEA_NIGHT, CLEAR_SEA_DAY, CLEAR_LAND_DAY
SNOW = (0.95, 0.92, 0.86, 0.05, 0.12, 0.08, 262, 261, 260.6)
CIRRUS = {260: 0.55, 270: 0.58, 280: 1.30, 285: 2.18, 290: 3.06, 300: 5.77, 310: 9.41}


def detections(features, pixel=MIDDLE):
    """Names of the tests that detect cloud at a pixel."""
    flags = threshold_flags(features)[pixel]
    return {test.__name__ for bit, test in enumerate(TESTS) if flags >> bit & 1}


def detected(square, around, surface):
    return detections(uniform_scene(around, square, surface))


@pytest.mark.parametrize(
    ("pixel", "surface"), [(DAY, "sea"), (NIGHT, "sea"), (LAND, "land"), (LAND, None)]
)
def test_clear_pixels_pass_every_test(pixel, surface):
    assert not threshold_flags(uniform_scene(pixel, surface=surface)).any()


def test_bits_of_the_flags_keep_their_meaning():
    assert [test.__name__ for test in TESTS] == [
        "gross_cloud_12",
        "thin_cirrus_11_12",
        "spatial_coherence_11",
        "fog_low_stratus_11_37",
        "medium_high_37_12",
        "sunlit_droplets_37_11",
        "visible",
        "near_infrared_1600",
        "cirrus_1375",
    ]


@pytest.mark.parametrize(
    ("name", "around", "surface", "clear", "cloudy"),
    [
        ("gross_cloud_12", NIGHT, "sea", {"s9": 277.1}, {"s9": 276.9}),
        ("gross_cloud_12", DAY, "sea", {"s9": 277.1}, {"s9": 276.9}),
        ("gross_cloud_12", LAND, "land", {"s9": 269.1}, {"s9": 268.9}),
        ("gross_cloud_12", LAND, None, {"s9": 269.1}, {"s9": 268.9}),
        *(
            (
                "thin_cirrus_11_12",
                around,
                "sea",
                *({"s8": t, "s9": t - c + d} for d in (0.01, -0.01)),
            )
            for around in (NIGHT, DAY)
            for t, c in CIRRUS.items()
        ),
        ("fog_low_stratus_11_37", NIGHT, "sea", {"s7": 287.1}, {"s7": 286.9}),
        ("fog_low_stratus_11_37", NIGHT, "land", {"s7": 285.1}, {"s7": 284.9}),
        ("medium_high_37_12", NIGHT, "sea", {"s9": 260, "s7": 261.4}, {"s9": 260, "s7": 261.6}),
        ("medium_high_37_12", NIGHT, "sea", {"s9": 270, "s7": 271.9}, {"s9": 270, "s7": 272.1}),
        ("medium_high_37_12", NIGHT, "land", {"s9": 280, "s7": 282.4}, {"s9": 280, "s7": 282.6}),
        ("medium_high_37_12", NIGHT, "sea", {"s9": 300, "s7": 304.4}, {"s9": 300, "s7": 304.6}),
        ("sunlit_droplets_37_11", DAY, "sea", {"s7": 295.9}, {"s7": 296.1}),
        ("sunlit_droplets_37_11", LAND, "land", {"s7": 309.9}, {"s7": 310.1}),
        ("visible", DAY, "sea", {"s3": 0.149}, {"s3": 0.151}),
        ("visible", LAND, "land", {"s2": 0.349, "s3": 0.35}, {"s2": 0.351, "s3": 0.35}),
        ("visible", LAND, "land", {"s2": 0.5, "s3": 0.399}, {"s2": 0.5, "s3": 0.401}),
        ("visible", LAND, "land", {"s2": 0.5, "s3": 0.551}, {"s2": 0.5, "s3": 0.549}),
        ("near_infrared_1600", DAY, "sea", {"s5": 0.059}, {"s5": 0.061}),
        ("cirrus_1375", DAY, "sea", {"s4": 0.034}, {"s4": 0.036}),
        ("cirrus_1375", LAND, "land", {"s4": 0.034}, {"s4": 0.036}),
        # Snow is not cloud: it is dark at 1.6 um and bright at 0.87 um.
        ("cirrus_1375", SNOW, "land", {"s1": 0.7, "s5": 0.299}, {"s1": 0.7, "s5": 0.301}),
        ("cirrus_1375", SNOW, "land", {"s3": 0.111}, {"s3": 0.109}),
        ("visible", SNOW, "land", {"s1": 0.7, "s5": 0.299}, {"s1": 0.7, "s5": 0.301}),
    ],
)
def test_each_test_detects_cloud_from_its_threshold_on(name, around, surface, clear, cloudy):
    assert name not in detected(with_bands(around, **clear), around, surface)
    assert name in detected(with_bands(around, **cloudy), around, surface)


@pytest.mark.parametrize(
    ("surface", "smooth", "rough"), [("sea", 0.42, 0.43), ("land", 2.11, 2.13)]
)
@pytest.mark.parametrize("pixel", [DAY, NIGHT])
def test_texture_is_cloud_above_0_2_kelvin_over_sea_and_1_over_land(pixel, surface, smooth, rough):
    """Every other row is colder: the standard deviation of 3 x 3 pixels is 0.471 of that."""
    found = []
    for amplitude in (smooth, rough):
        features = uniform_scene(pixel, surface=surface)
        features.channels[::2, :, 7] -= amplitude
        found.append("spatial_coherence_11" in detections(features))
    assert found == [False, True]


@pytest.mark.parametrize("name", ["fog_low_stratus_11_37", "medium_high_37_12"])
def test_tests_by_night_detect_nothing_by_day(name):
    for s7 in (250, 310):
        assert name not in detected(with_bands(DAY, s7=s7), DAY, "sea")


def test_tests_by_day_detect_nothing_by_night():
    """One dark visible band does not make it day, and S4 to S6 do not at all."""
    night = (0.009, 0.009, 0.009, 0.5, 0.5, 0.5, 310, 285, 284)
    day = (0.009, 0.011, 0.009, 0.5, 0.5, 0.5, 310, 285, 284)
    by_day = {"sunlit_droplets_37_11", "near_infrared_1600", "cirrus_1375"}
    assert not by_day & detected(night, NIGHT, "sea")
    assert by_day <= detected(day, NIGHT, "sea")


def test_near_infrared_test_is_for_sea_alone():
    assert "near_infrared_1600" not in detected(with_bands(LAND, s5=0.5), LAND, "land")


def test_snow_passes_every_test_and_sea_is_never_snow():
    assert not threshold_flags(uniform_scene(SNOW, surface="land")).any()
    assert {"visible", "cirrus_1375"} <= detections(uniform_scene(SNOW, surface="sea"))


@pytest.mark.parametrize(("columns", "cloudy"), [(5, True), (3, False)])
def test_warm_end_of_a_scene_is_its_95th_percentile(columns, cloudy):
    """5 of 80 columns are more than 5 % of the pixels, 3 are less."""
    features = uniform_scene(with_bands(NIGHT, s7=275, s8=275, s9=274))
    features.channels[:, :columns] = NIGHT
    assert ("gross_cloud_12" in detections(features)) == cloudy


def test_warm_end_of_the_sea_is_not_that_of_the_land():
    features = uniform_scene(NIGHT)
    features.channels[:, :40, 6:] += 15
    features.surface.values[:, :40] = 2
    assert detections(features, (30, 60)) == set()


def test_invalid_pixels_are_never_flagged():
    features = uniform_scene(NIGHT, (0,) * 6 + (241, 240, 239.8))
    features.channels[:25, :, 8] = np.nan
    features.channels[MIDDLE] = 0
    flags = threshold_flags(features)
    assert not flags[~features.valid].any()
    assert flags[35, 35]


@pytest.mark.parametrize(
    ("bands", "valid"),
    [
        ({"s7": 150.1}, True),
        ({"s7": 149.9}, False),
        ({"s8": 349.9}, True),
        ({"s8": 350.1}, False),
        ({"s9": np.nan}, False),
        ({"s9": 0}, False),
        ({"s6": np.nan}, False),
    ],
)
def test_valid_pixels_have_plausible_temperatures_and_by_day_all_reflectances(bands, valid):
    assert uniform_scene(with_bands(DAY, **bands)).valid.all() == valid
    assert uniform_scene(with_bands(NIGHT, **bands)).valid.all() == (valid or "s6" in bands)


def test_texture_leaves_out_invalid_neighbours():
    features = uniform_scene(NIGHT)
    features.channels[30, 40, 7] = 0
    np.testing.assert_allclose(features.texture[features.valid], 0, atol=0.01)
    assert PixelFeatures(features.channels).sea is None
