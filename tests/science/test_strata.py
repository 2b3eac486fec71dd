"""Strata of pixels: distance to the cloud edge, and classes of the scene's file."""

import shutil

import h5py
import numpy as np

from cloudmask.scenes.layout import list_scenes
from cloudmask.science.pixel_features import Classification, PixelFeatures, read_pixel_features
from cloudmask.science.strata import EDGE_NAMES, edge_classes, strata_of
from tests.scene_files import product_name, write_scene


def test_classes_of_the_cloud_edge_include_their_upper_end():
    cloudy = np.zeros((3, 80), bool)
    cloudy[:, 40:] = True
    classes = edge_classes(cloudy, np.ones_like(cloudy))[1]
    distance = np.array([*range(40, 0, -1), *range(1, 41)])
    for name, low, high in zip(EDGE_NAMES, (0, 2, 5, 15), (2, 5, 15, np.inf), strict=True):
        found = distance[classes == EDGE_NAMES.index(name)]
        assert low < found.min()
        assert found.max() <= high


def test_distance_to_the_cloud_edge_is_to_the_nearest_valid_pixel():
    cloudy = np.zeros((1, 80), bool)
    cloudy[:, :10] = True
    valid = np.ones_like(cloudy)
    assert EDGE_NAMES[edge_classes(cloudy, valid)[0, 11]] == "up to 2 km"
    valid[:, 7:10] = False
    assert EDGE_NAMES[edge_classes(cloudy, valid)[0, 11]] == "2 to 5 km"


def test_scene_of_one_sky_has_no_cloud_edge():
    for sky in (True, False):
        cloudy = np.full((4, 4), sky)
        assert (edge_classes(cloudy, np.ones_like(cloudy)) == 3).all()


def test_pixels_are_stratified_by_time_surface_and_type_of_cloud(tmp_path):
    path = write_scene(tmp_path / product_name(0))
    channels = np.full((1200, 1500, 9), 285, np.float32)
    channels[:600, :, :6] = 0  # night
    surface = np.full((1200, 1500), 5, np.uint8)
    surface[:, :500], surface[:, 500:700] = 1, 2
    features = PixelFeatures(channels, Classification(surface, {2: "land", 1: "sea"}))
    strata = strata_of(path, features, np.zeros((1200, 1500), bool))
    assert set(strata) == {"time", "cloud edge", "surface"}
    counts = {
        family: dict(zip(names, np.bincount(classes, minlength=len(names)), strict=True))
        for family, (classes, names) in strata.items()
    }
    assert counts["time"] == {"night": 900_000, "day": 900_000}
    assert counts["surface"] == {"none": 960_000, "sea": 600_000, "land": 240_000}


def test_classification_without_meanings_is_not_used(synthetic_data, tmp_path):
    path = tmp_path / product_name(0)
    shutil.copy(list_scenes(synthetic_data, "inference")[0], path)
    assert read_pixel_features(path).sea.any()
    with h5py.File(path, "r+") as file:
        del file["surface"].attrs["flag_meanings"]
    assert read_pixel_features(path).sea is None
