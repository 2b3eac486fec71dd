"""Quick-looks of real scene files: pictures and the numbers that stand for them."""

import numpy as np
import pytest

from cloudmask.errors import SceneError
from cloudmask.report.quicklooks import CLEAR, CLOUD, FALSE_ALARM, INVALID, MISSED, quicklook
from cloudmask.science.cloud_masks import CloudDetectors
from tests.scene_files import product_name, write_scene
from tests.science.networks import FLOAT32, ColdIsCloud

WITH_NETWORK, WITHOUT = CloudDetectors(ColdIsCloud(), FLOAT32), CloudDetectors(None, FLOAT32)


def half_cold(path, **changes):
    """Left half cold; by the truth, the upper half is cloud."""
    bts = np.full((1200, 1500, 3), 285, np.float32)
    bts[:, :750] = 240
    truth = np.zeros((1200, 1500, 1), np.float32)
    truth[:600] = 1
    return write_scene(path, **{"bts": bts, "truth": truth, "bayes": truth, **changes})


def panels_of(gallery):
    return {panel.title: panel for panel in gallery.panels}


def pixels_of(panel):
    return panel.image.astype(int)


def test_differences_are_coloured_and_said_by_their_kind(tmp_path):
    panels = panels_of(quicklook(half_cold(tmp_path / product_name(0)), WITH_NETWORK, "q"))
    difference = panels["Network against truth"]
    pixels = pixels_of(difference)
    assert pixels.shape == (600, 750, 3)
    corners = [pixels[0, 0], pixels[0, -1], pixels[-1, 0], pixels[-1, -1]]
    assert np.array_equal(corners, [CLOUD, MISSED, FALSE_ALARM, CLEAR])
    said = "50.0% correct, 25.0% missed cloud, 25.0% clear called cloud"
    assert {colour for colour, _ in difference.legend.entries} >= set(map(tuple, corners))
    assert difference.alt == f"Network against truth: {said}"


def test_masks_are_shown_with_their_share_of_cloud(tmp_path):
    panels = panels_of(quicklook(half_cold(tmp_path / product_name(0)), WITH_NETWORK, "q"))
    assert list(panels)[:4] == ["False colour", "Truth", "Network", "Bayesian (bayes)"]
    assert panels["Truth"].text == "50.0% cloud"
    assert np.array_equal(pixels_of(panels["Network"])[0, [0, -1]], [CLOUD, CLEAR])


def test_false_colour_by_day_is_red_where_s3_alone_is_bright(tmp_path):
    refs = np.full((1200, 1500, 6), 0.04, np.float32)
    refs[..., 2] = 1.0
    gallery = quicklook(half_cold(tmp_path / product_name(0), refs=refs), WITHOUT, "q")
    assert np.array_equal(pixels_of(panels_of(gallery)["False colour"])[9, 9], [255, 51, 51])


def test_night_is_shown_by_temperature_cold_white(tmp_path):
    gallery = quicklook(half_cold(tmp_path / product_name(0), refs=0), WITHOUT, "q")
    panel = panels_of(gallery)["Temperature"]
    assert panel.text == "S8 by night, 240 K white to 285 K black"
    assert np.array_equal(pixels_of(panel)[9, [0, -1]], [[255] * 3, [0] * 3])


def test_grey_scale_of_the_night_ends_at_the_percentiles_1_and_99(tmp_path):
    kelvin = np.linspace(200, 300, 1500, dtype=np.float32)[None, :, None]
    scene = half_cold(
        tmp_path / product_name(0), refs=0, bts=np.broadcast_to(kelvin, (1200, 1500, 3))
    )
    panel = panels_of(quicklook(scene, WITHOUT, "q"))["Temperature"]
    assert panel.text == "S8 by night, 201 K white to 299 K black"


def test_without_truth_the_label_is_the_reference_and_is_not_judged_by_itself(tmp_path):
    gallery = quicklook(half_cold(tmp_path / product_name(0), truth=None), WITH_NETWORK, "q")
    assert list(panels_of(gallery)) == [
        *("False colour", "Label (bayes)", "Network", "Threshold screen"),
        *("Network against label", "Threshold screen against label"),
    ]


def test_without_label_and_network_what_remains_is_shown(tmp_path):
    scene = half_cold(tmp_path / product_name(0), truth=None, bayes=None)
    assert list(panels_of(quicklook(scene, WITHOUT, "q"))) == ["False colour", "Threshold screen"]


def test_pixels_that_were_not_seen_are_grey_and_not_counted(tmp_path):
    bts = np.full((1200, 1500, 3), 285, np.float32)
    bts[:, :375] = 0
    gallery = quicklook(half_cold(tmp_path / product_name(0), bts=bts), WITHOUT, "q")
    truth = panels_of(gallery)["Truth"]
    assert np.array_equal(pixels_of(truth)[0, [0, -1]], [INVALID, CLOUD])
    assert truth.text == "50.0% cloud"


def test_scene_that_saw_nothing_is_refused_by_name(tmp_path):
    path = write_scene(tmp_path / product_name(0), bts=0)
    with pytest.raises(SceneError, match=path.name):
        quicklook(path, WITHOUT, "q")
