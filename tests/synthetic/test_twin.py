"""The twin of DS1: its files, what they lack, and its label."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import h5py
import numpy as np
import pytest

from cloudmask.scenes.hdf5_scene import inspect_scene, read_hdf5_scene
from cloudmask.synthetic import generate
from cloudmask.synthetic.generate import product_name, synthesize
from cloudmask.synthetic.landscape import Surface
from cloudmask.synthetic.missing_values import (
    cosmetic_pixels,
    fill_from_neighbours,
    seen_pixels,
)
from cloudmask.synthetic.operational_screen import Errors, operational_mask
from cloudmask.synthetic.physics import Measurement
from cloudmask.synthetic.twin import deck
from cloudmask.synthetic.view import FRAMES, sun_zenith

SEED = 3


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A scene by day."""
    made = synthesize(tmp_path_factory.mktemp("twin"), 1, 0, SEED, dataset="twin")
    return made[0]


def test_a_scene_of_the_twin_says_that_it_is_of_the_twin_and_has_ds1s_types(path: Path) -> None:
    assert inspect_scene(path) == "twin"
    with h5py.File(path) as file:
        assert file["refs"].dtype == np.float64
        assert (file["bts"].dtype, file["bayes"].dtype) == (np.float32, np.uint8)
        assert set(np.unique(file["bayes"][...])) == {0, 255}


def test_a_scene_of_the_twin_is_made_once(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    written: list[Path] = []
    monkeypatch.setattr(generate, "_write", lambda job: written.append(job.path))
    folder = path.parent.parent
    assert synthesize(folder, 1, 0, SEED, dataset="twin") == [path]
    assert written == []
    synthesize(folder, 1, 0, SEED + 1, dataset="twin")
    assert len(written) == 1


def test_everything_missing_is_zero_and_missing_only_at_the_sides(path: Path) -> None:
    with h5py.File(path) as file:
        bts, refs, label = (file[name][...] for name in ("bts", "refs", "bayes"))
    assert np.isfinite(bts).all()
    assert np.isfinite(refs).all()
    for columns in (slice(0, 26), slice(-14, None)):
        for values in (bts, refs, label):
            assert not values[:, columns].any()
    inside = bts[:, 28:-17, 1]
    assert (inside > 0).mean() > 0.99
    assert read_hdf5_scene(path).label.shape == (1200, 1500)


def test_names_sort_by_index_and_tell_the_frame() -> None:
    frames = [frame for frame, _ in deck([SEED, 0, 0])]
    names = [product_name("training", n, frame.seconds) for n, frame in enumerate(frames)]
    assert names == sorted(names)
    assert [int(name.split("_LN2")[0][-4:]) for name in names] == [f.seconds for f in frames]


def test_twenty_scenes_have_each_frame_once_and_shares_of_the_whole_range() -> None:
    drawn = deck([SEED, 0, 4])
    assert Counter(frame for frame, _ in drawn) == Counter(FRAMES)
    for by_day in (True, False):
        levels = sorted(n for frame, n in drawn if (frame.solar_hour is not None) == by_day)
        assert all(n <= level * len(levels) < n + 1 for n, level in enumerate(levels))


def test_the_sun_is_at_the_horizon_at_77_degrees_late_in_october_and_varies_in_a_scene() -> None:
    arctic = next(frame for frame in FRAMES if frame.seconds == 1620)
    subtropical = next(frame for frame in FRAMES if frame.seconds == 2520)
    late = sun_zenith(np.random.default_rng(0), arctic, twilight=True)
    early = sun_zenith(np.random.default_rng(0), subtropical, twilight=False)
    assert late is not None
    assert early is not None
    assert late.min() < 90 < late.max()
    assert 25 < early.min() < 45 < early.max() < 60
    assert sun_zenith(np.random.default_rng(0), FRAMES[0], twilight=False) is None


def test_cosmetic_pixels_are_a_quarter_and_copies_of_what_is_measured_to_their_left() -> None:
    chosen = cosmetic_pixels(np.random.default_rng(0))
    assert 0.22 < chosen.mean() < 0.29
    values = np.arange(6, dtype=np.float32).reshape(1, 6, 1)
    fill_from_neighbours(values, np.array([[True, True, False, True, True, False]]))
    np.testing.assert_array_equal(values.ravel(), [0, 0, 2, 2, 2, 5])


def test_borders_are_those_of_ds1() -> None:
    seen = seen_pixels(np.random.default_rng(0))
    assert seen.any(axis=1).all()
    assert 26 <= seen.argmax(axis=1).min() <= seen.argmax(axis=1).max() <= 28
    right = seen[:, ::-1].argmax(axis=1)
    assert 14 <= right.min() <= right.max() <= 17


def test_the_screen_calls_its_share_cloudy_and_errs_more_over_ice() -> None:
    shape = (1200, 1500)
    rng = np.random.default_rng(0)
    thin = rng.random(shape, dtype=np.float32) < 0.7
    depth = np.where(thin, np.float32(0.5), np.float32(0))
    zeros, nowhere = np.zeros(shape, np.float32), np.zeros(shape, bool)
    ice = nowhere.copy()
    ice[:, 750:] = True
    surface = Surface(
        temperature=zeros,
        air=zeros,
        water_vapour=zeros,
        sea=~ice,
        ice=ice,
        snow=zeros,
        vegetation=zeros,
        glint=zeros,
    )
    measured = Measurement(np.zeros((*shape, 6)), np.zeros((*shape, 3)), depth, 9 * depth)
    low = type("Low", (), {"optical_depth": zeros})()
    errors = Errors(bad_scenes=0, reach=0, edge=0)
    label = operational_mask(rng, surface, [low, low], measured, False, 0.7, errors)
    assert label.mean() == pytest.approx(0.7, abs=0.01)
    wrong = label != thin
    assert wrong[:, 750:].mean() > 1.5 * wrong[:, :750].mean() > 0
