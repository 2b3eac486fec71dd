"""Synthetic scenes: their statistics, and how hard it is to find their cloud."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn.naive_bayes import GaussianNB

from cloudmask.patches.geometry import training_region
from tests.synthetic.scene_data import Scene


def agreement(scene: Scene, name: str) -> float:
    return float(np.mean((scene[name] > 0) == (scene["truth"] > 0)))


def channels(scene: Scene, step: int) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Normalised channels (n, 9) and labels (n,) of every `step`-th pixel of the centre."""
    region = training_region()
    image = np.concatenate([scene["refs"] - 0.5, (scene["bts"] - 270) / 22], axis=-1)[region]
    label = scene["bayes"][region] > 0
    return np.nan_to_num(image[::step, ::step]).reshape(-1, 9), label[::step, ::step].ravel()


# Of the pixels 50 or more from the edge. A change of these needs another of GENERATOR_VERSIONS.
MEANS = {
    "kelvin": [
        (301.007, 276.274, 274.620),
        (254.181, 254.114, 253.668),
        (300.766, 276.386, 274.903),
        (253.890, 253.506, 253.024),
    ],
    "reflectance": [
        (0.3174, 0.2959, 0.3246, 0.0774, 0.2060, 0.1598),
        (0, 0, 0, 0, 0, 0),
        (0.3213, 0.2990, 0.3183, 0.0868, 0.1986, 0.1554),
        (0, 0, 0, 0, 0, 0),
    ],
    "radiance": [
        (166.95, 129.40, 89.07, 8.01, 14.43, 3.56),
        (0, 0, 0, 0, 0, 0),
        (165.72, 128.24, 85.65, 8.81, 13.64, 3.40),
        (0, 0, 0, 0, 0, 0),
    ],
}
# Of all pixels: cloud by truth, bayes and summary; sea, sea ice, land and snow; clouds 1 to 5.
FRACTIONS = [
    (
        *(0.5157, 0.5463, 0.4336),
        *(0.6280, 0.0000, 0.3273, 0.0000),
        *(0.0208, 0.0883, 0.0794, 0.2405, 0.0867),
    ),
    (
        *(0.5297, 0.5369, 0.3302),
        *(0.3959, 0.2709, 0.0000, 0.2949),
        *(0.0171, 0.0990, 0.0677, 0.2716, 0.0744),
    ),
    (
        *(0.5233, 0.5539, 0.4459),
        *(0.6696, 0.0000, 0.2896, 0.0000),
        *(0.0225, 0.0849, 0.0738, 0.2624, 0.0796),
    ),
    (
        *(0.5269, 0.5288, 0.3599),
        *(0.3934, 0.2620, 0.0000, 0.2983),
        *(0.0204, 0.0757, 0.0787, 0.2634, 0.0885),
    ),
]


@pytest.mark.parametrize("number", range(4))
def test_the_data_of_a_seed_are_those_of_this_version_of_the_generator(
    scenes: list[Scene], number: int
) -> None:
    scene = scenes[number]
    for name, quantity in (("bts", "kelvin"), ("refs", "reflectance"), ("rads", "radiance")):
        means = np.nanmean(scene[name][50:-50, 50:-50], axis=(0, 1), dtype=np.float64)
        np.testing.assert_allclose(means, MEANS[quantity][number], rtol=2e-3, atol=2e-4)
    fractions = [np.mean(scene[name] > 0) for name in ("truth", "bayes", "summary")]
    fractions += [np.mean(scene["surface"] == value) for value in range(1, 5)]
    fractions += [np.mean(scene["cloud_type"] == value) for value in range(1, 6)]
    np.testing.assert_allclose(fractions, FRACTIONS[number], atol=5e-4)


def test_day_scenes_are_sunlit_and_night_scenes_are_not(scenes: list[Scene]) -> None:
    for index, scene in enumerate(scenes):
        lit = float(np.nanmean(scene["refs"]))
        if index % 2:
            assert lit == 0
            assert np.nanmax(np.abs(scene["rads"])) == 0
        else:
            assert 0.05 < lit < 0.6
            assert np.nanmax(scene["refs"]) < 1.2
            warmth = scene["bts"][..., 0] - scene["bts"][..., 1]
            assert np.nanmedian(warmth[scene["truth"][..., 0] > 0]) > 5


def test_temperatures_are_those_of_the_earth(scenes: list[Scene]) -> None:
    for scene in scenes:
        inside = scene["bts"][100:-100, 100:-100]
        assert 185 < np.nanmin(inside) < 250
        assert 270 < np.nanmax(inside) < 345
        clear = inside[scene["truth"][100:-100, 100:-100, 0] == 0]
        assert 0.2 < np.nanmedian(clear[:, 1] - clear[:, 2]) < 3


def test_a_narrow_frame_is_zero_and_few_values_are_missing(scenes: list[Scene]) -> None:
    for scene in scenes:
        for values in scene.values():
            assert not values[:5].any()
            assert not values[-5:].any()
            assert not values[:, :5].any()
            assert not values[:, -5:].any()
        frame = scene["bts"][..., 1] == 0
        assert not frame[40:-40, 40:-40].any()
        assert len({row.tobytes() for row in frame[100:-100]}) > 10, "the frame is ragged"
        for name in ("refs", "bts", "rads"):
            assert 0 < np.isnan(scene[name]).mean() < 0.005
        for name in ("truth", "bayes", "summary"):
            assert np.isfinite(scene[name]).all()


def test_the_bayesian_mask_is_right_on_most_pixels_and_more_than_the_thresholds(
    scenes: list[Scene],
) -> None:
    for scene in scenes:
        assert 0.947 <= agreement(scene, "bayes") <= 0.957
        assert agreement(scene, "summary") < agreement(scene, "bayes") - 0.01
        assert set(np.unique(scene["truth"])) == {0, 1}
        assert set(np.unique(scene["bayes"])) == {0, 1, 3}
    assert 0.75 < np.mean([agreement(scene, "summary") for scene in scenes]) < 0.9


def test_the_bayesian_mask_invents_cloud_on_cold_ice(scenes: list[Scene]) -> None:
    polar_night = scenes[1]
    clear = polar_night["truth"][..., 0] == 0
    flagged = polar_night["bayes"][..., 0] > 0
    kelvin = polar_night["bts"][..., 1]
    cold, mild = clear & (kelvin > 0) & (kelvin < 254), clear & (kelvin > 264)
    assert cold.sum() > 10_000
    assert flagged[cold].mean() > 3 * flagged[mild].mean()


def test_no_channel_and_no_gaussian_model_of_them_suffices(scenes: list[Scene]) -> None:
    fitted = [channels(scene, 8) for scene in scenes[2:]]
    held_out = [channels(scene, 5) for scene in scenes[:2]]
    images, labels = (np.concatenate(part) for part in zip(*held_out, strict=True))
    assert max(labels.mean(), 1 - labels.mean()) < 0.7

    for channel in images.T:
        candidates = np.quantile(channel, np.linspace(0, 1, 101))
        above = np.array([np.mean((channel > level) == labels) for level in candidates])
        assert np.maximum(above, 1 - above).max() < 0.85

    train_images, train_labels = (np.concatenate(part) for part in zip(*fitted, strict=True))
    assert GaussianNB().fit(train_images, train_labels).score(images, labels) < 0.9
