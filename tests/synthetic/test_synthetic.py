"""Synthetic scenes: their names, schema, physics and difficulty, on real files and processes."""

from __future__ import annotations

import hashlib
import re
from datetime import datetime
from pathlib import Path

import h5py
import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn.naive_bayes import GaussianNB

from cloudmask.errors import InputError
from cloudmask.patches.geometry import training_region
from cloudmask.scenes.hdf5_scene import inspect_scene, is_synthetic, read_mask
from cloudmask.scenes.layout import list_scenes
from cloudmask.synthetic.generate import SHAPES, product_name, synthesize
from cloudmask.synthetic.landscape import cellular_field, random_field
from cloudmask.synthetic.physics import (
    INFRARED_BANDS_UM,
    brightness_temperature,
    planck_radiance,
)
from tests.scene_files import read_image_and_label

Scene = dict[str, NDArray[np.float32]]

SEED = 7
# Tropical day, polar night, midlatitude day, midlatitude night: two of each, three climates.
TRAINING_SCENES, INFERENCE_SCENES = 4, 1


@pytest.fixture(scope="module")
def dest(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("synthetic")
    synthesize(folder, TRAINING_SCENES, INFERENCE_SCENES, SEED, processes=2)
    return folder


@pytest.fixture(scope="module")
def scenes(dest: Path) -> list[Scene]:
    return [_read(path) for path in list_scenes(dest, "training")]


def _read(path: Path) -> Scene:
    with h5py.File(path) as file:
        return {name: file[name][...] for name in SHAPES}


def _digest(scene: Scene) -> str:
    return hashlib.sha256(b"".join(scene[name].tobytes() for name in SHAPES)).hexdigest()


def _agreement(scene: Scene, name: str) -> float:
    return float(np.mean((scene[name] > 0) == (scene["truth"] > 0)))


def _channels(scene: Scene, step: int) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Normalised channels (n, 9) and labels (n,) of every `step`-th pixel of the centre."""
    region = training_region()
    image = np.concatenate([scene["refs"] - 0.5, (scene["bts"] - 270) / 22], axis=-1)[region]
    label = scene["bayes"][region] > 0
    return np.nan_to_num(image[::step, ::step]).reshape(-1, 9), label[::step, ::step].ravel()


# --- files ---------------------------------------------------------------------------------


def test_the_scene_reader_accepts_every_file(dest: Path, scenes: list[Scene]) -> None:
    for path in list_scenes(dest, "training") + list_scenes(dest, "inference"):
        inspect_scene(path)
        assert is_synthetic(path)
    path = list_scenes(dest, "training")[0]
    image, label = read_image_and_label(path)
    assert np.isfinite(image).all()
    assert (label == (scenes[0]["bayes"][..., 0] > 0)).all()
    assert read_mask(path, "truth") is not None


def test_data_sets_have_the_schema_and_lie_contiguous_in_the_file(dest: Path) -> None:
    with h5py.File(list_scenes(dest, "inference")[0]) as file:
        assert set(file) == set(SHAPES)
        for name, shape in SHAPES.items():
            assert file[name].shape == shape
            assert file[name].dtype == np.float32
            assert file[name].chunks is None


def test_names_are_product_names_that_sort_by_index() -> None:
    names = [product_name("training", index) for index in range(1000)]
    names += [product_name("inference", index) for index in range(200)]
    assert names == sorted(set(names))
    pattern = re.compile(
        r"S3A_SL_1_RBT____(\d{8}T\d{6})_(\d{8}T\d{6})_(\d{8}T\d{6})_0179"
        r"_(\d{3})_(\d{3})_(\d{4})_LN2_O_NT_003\.hdf"
    )
    for name in names:
        match = pattern.fullmatch(name)
        assert match, name
        start, stop, created = (datetime.strptime(match[k], "%Y%m%dT%H%M%S") for k in (1, 2, 3))
        assert 179 <= (stop - start).total_seconds() <= 180
        assert created > stop
        assert 1 <= int(match[5]) <= 385


@pytest.mark.slow
def test_one_process_alone_makes_the_same_bytes(dest: Path, tmp_path: Path) -> None:
    [path] = synthesize(tmp_path, 1, 0, SEED, processes=1)
    assert path.name == list_scenes(dest, "training")[0].name
    assert _digest(_read(path)) == _digest(_read(list_scenes(dest, "training")[0]))


def test_subset_and_index_each_change_the_scene(scenes: list[Scene], dest: Path) -> None:
    digests = {_digest(scene) for scene in scenes}
    digests.add(_digest(_read(list_scenes(dest, "inference")[0])))
    assert len(digests) == TRAINING_SCENES + INFERENCE_SCENES


@pytest.mark.slow
def test_complete_scenes_are_kept_and_broken_ones_made_anew(tmp_path: Path) -> None:
    kept, broken = synthesize(tmp_path, 2, 0, SEED, processes=2)
    expected = _digest(_read(broken))
    before = kept.stat()
    broken.write_bytes(broken.read_bytes()[:100_000])
    calls: list[int] = []
    synthesize(tmp_path, 2, 0, SEED, processes=2, report=calls.append)
    assert (kept.stat().st_ino, kept.stat().st_mtime_ns) == (before.st_ino, before.st_mtime_ns)
    assert _digest(_read(broken)) == expected
    assert calls == [1, 1]
    assert {path.suffix for path in kept.parent.iterdir()} == {".hdf"}


@pytest.mark.slow
def test_a_scene_of_another_seed_is_not_taken_for_the_one_asked_for(
    dest: Path, tmp_path: Path
) -> None:
    (tmp_path / "training").mkdir()
    original = list_scenes(dest, "training")[0]
    old = tmp_path / "training" / original.name
    old.write_bytes(original.read_bytes())
    assert synthesize(tmp_path, 1, 0, SEED + 1, processes=1) == [old]
    assert _digest(_read(old)) != _digest(_read(original))


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        ({"training_scenes": -1}, "-1"),
        ({"inference_scenes": -2}, "-2"),
        ({"seed": -3}, "-3"),
        ({"processes": 0}, "0"),
    ],
)
def test_impossible_arguments_are_named(
    tmp_path: Path, arguments: dict[str, int], named: str
) -> None:
    with pytest.raises(InputError, match=named):
        synthesize(tmp_path, **{"training_scenes": 1, "inference_scenes": 0} | arguments)
    assert not list(tmp_path.iterdir())


def test_a_destination_that_is_a_file_is_refused_by_name(tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("")
    with pytest.raises(InputError, match="taken"):
        synthesize(tmp_path / "taken", 1, 0, SEED)


def test_no_scenes_at_all_is_no_error(tmp_path: Path) -> None:
    assert synthesize(tmp_path, 0, 0, SEED) == []


# --- physics -------------------------------------------------------------------------------


@pytest.mark.parametrize("wavelength", INFRARED_BANDS_UM)
def test_brightness_temperature_inverts_planck(wavelength: float) -> None:
    kelvin = np.linspace(195, 330, 200, dtype=np.float32)
    back = brightness_temperature(wavelength, planck_radiance(wavelength, kelvin))
    np.testing.assert_allclose(back, kelvin, atol=0.01)


def test_planck_radiance_of_a_black_body_at_300_kelvin() -> None:
    # 2hc^2 / (w^5 (exp(hc / wkT) - 1)) with w = 10.85 um, T = 300 K, worked out in SI units.
    h, c, k, w = 6.62607015e-34, 299792458.0, 1.380649e-23, 10.85e-6
    expected = 2 * h * c**2 / (w**5 * (np.exp(h * c / (w * k * 300)) - 1)) * 1e-6
    assert planck_radiance(10.85, np.float32([300]))[0] == pytest.approx(expected, rel=1e-5)


def test_a_steeper_spectrum_makes_a_smoother_field() -> None:
    def roughness(slope: float) -> float:
        return float(np.abs(np.diff(random_field(np.random.default_rng(0), slope, 300))).mean())

    assert roughness(3.0) < 0.3 * roughness(1.67)


def test_cells_lie_as_far_apart_as_asked() -> None:
    field = cellular_field(np.random.default_rng(0), 20)
    spectrum = (np.abs(np.fft.rfft(field, axis=1)) ** 2).mean(axis=0)
    frequency = np.fft.rfftfreq(field.shape[1])
    assert 15 < (spectrum.sum() / (spectrum * frequency).sum()) < 40


def test_day_scenes_see_the_sun_and_night_scenes_do_not(scenes: list[Scene]) -> None:
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


# --- masks and difficulty ------------------------------------------------------------------


def test_the_bayesian_mask_is_right_on_most_pixels_and_more_than_the_thresholds(
    scenes: list[Scene],
) -> None:
    for scene in scenes:
        assert 0.92 <= _agreement(scene, "bayes") <= 0.96
        assert _agreement(scene, "summary") < _agreement(scene, "bayes") - 0.01
        assert set(np.unique(scene["truth"])) == {0, 1}
        assert set(np.unique(scene["bayes"])) <= {0, 1, 3}
    assert 0.75 < np.mean([_agreement(scene, "summary") for scene in scenes]) < 0.9


def test_the_bayesian_mask_misses_cloud_by_night_and_invents_it_on_ice(
    scenes: list[Scene],
) -> None:
    _, polar_night, midlatitude_day, midlatitude_night = scenes

    def missed(scene: Scene) -> float:
        return float(np.mean((scene["truth"] > 0) & (scene["bayes"] == 0)))

    assert missed(midlatitude_night) > 1.5 * missed(midlatitude_day)

    clear = polar_night["truth"][..., 0] == 0
    flagged = polar_night["bayes"][..., 0] > 0
    kelvin = polar_night["bts"][..., 1]
    cold, mild = clear & (kelvin > 0) & (kelvin < 254), clear & (kelvin > 264)
    assert cold.sum() > 10_000
    assert flagged[cold].mean() > 3 * flagged[mild].mean()


def test_no_channel_and_no_gaussian_model_of_them_suffices(scenes: list[Scene]) -> None:
    fitted = [_channels(scene, 8) for scene in scenes[2:]]
    held_out = [_channels(scene, 5) for scene in scenes[:2]]
    images, labels = (np.concatenate(part) for part in zip(*held_out, strict=True))
    assert max(labels.mean(), 1 - labels.mean()) < 0.7

    for channel in images.T:
        candidates = np.quantile(channel, np.linspace(0, 1, 101))
        above = np.array([np.mean((channel > level) == labels) for level in candidates])
        assert np.maximum(above, 1 - above).max() < 0.85

    train_images, train_labels = (np.concatenate(part) for part in zip(*fitted, strict=True))
    assert GaussianNB().fit(train_images, train_labels).score(images, labels) < 0.9
