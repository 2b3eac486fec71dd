"""Processing baselines, and the one scale of reflectance."""

import numpy as np
import pytest

from cloudmask.scenes.baseline import baseline_of, mixed_baselines, remove_correction
from cloudmask.scenes.hdf5_scene import read_bands, read_hdf5_scene
from tests.scene_files import product_name, write_scene

NAMES = {
    "S3A_SL_1_RBT____20191001T113221_20191001T113521_20191002T153211_0179_050_023_1980_LN2_O_NT_003"
    ".hdf": 3,
    "S3B_SL_1_RBT____20241113T081122_20241113T081422_20241113T101500_0180_099_349_2160_ESA_O_NR_004"
    ".SEN3.zip": 4,
    "S3A_SL_1_RBT____20260623T000000_20260623T000300_20260624T010000_0179_050_023_1980_PS2_O_NT_005"
    ".SEN3": 5,
    "my_scene_017.hdf": None,
}


@pytest.mark.parametrize("name", NAMES)
def test_the_baseline_is_in_the_name_of_a_product(name):
    assert baseline_of(name) == NAMES[name]


@pytest.mark.parametrize(
    ("baseline", "view", "factors"),
    [
        (3, "nadir", [1] * 6),
        (None, "nadir", [1] * 6),
        (5, "nadir", [0.97, 0.98, 0.98, 1, 1.11, 1.13]),
        (6, "oblique", [0.94, 0.95, 0.95, 1, 1.04, 1.07]),
    ],
)
def test_corrections_are_taken_out_from_baseline_005_on(baseline, view, factors):
    reflectances = np.full((2, 3, 6), 0.5, np.float32) * np.array(factors, np.float32)
    remove_correction(reflectances, baseline, view)
    np.testing.assert_allclose(reflectances, 0.5, rtol=1e-6)


def test_scenes_of_a_corrected_baseline_are_brought_to_the_scale_for_network_and_training(tmp_path):
    old, new = product_name(1), product_name(1).replace("_003", "_005")
    refs = {old: 0.5, new: 0.5 * np.array([0.97, 0.98, 0.98, 1, 1.11, 1.13], np.float32)}
    for name, values in refs.items():
        path = write_scene(tmp_path / name, refs=np.broadcast_to(values, (1200, 1500, 6)) + 0)
        scene = read_hdf5_scene(path)
        assert scene.baseline == (3 if name == old else 5)
        np.testing.assert_allclose(scene.channels[..., :6], 0.5, rtol=1e-6)
        band = next(iter(read_bands(path, [(slice(8, 12), slice(0, 5))])))
        np.testing.assert_allclose(band.values, 0, atol=1e-6)


def test_scenes_of_several_baselines_are_named_once():
    names = list(NAMES)
    assert mixed_baselines([names[0], names[0], names[3]]) == ""
    assert mixed_baselines(names).startswith("the scenes are of processing baselines 003, 004, 005")
