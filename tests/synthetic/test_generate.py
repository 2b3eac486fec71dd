"""Synthetic scenes: their names, files, statistics and difficulty."""

from __future__ import annotations

import hashlib
import re
from datetime import datetime
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn.naive_bayes import GaussianNB

from cloudmask.errors import InputError
from cloudmask.patches.geometry import training_region
from cloudmask.scenes.hdf5_scene import inspect_scene, is_synthetic, read_classes
from cloudmask.scenes.layout import list_scenes
from cloudmask.synthetic import generate
from cloudmask.synthetic.generate import SHAPES, make_scene, product_name, scene_rng, synthesize
from tests.scene_files import SYNTHETIC_SEED

Scene = dict[str, NDArray[np.float32]]

IDENTITY = {
    "generator": "cloudmask synthetic scenes",
    "generator_version": 2,
    "seed": SYNTHETIC_SEED,
    "subset": "training",
    "index": 0,
}


@pytest.fixture(scope="module")
def paths(synthetic_data: Path) -> list[Path]:
    """Tropical day, polar night, another tropical day, another polar night."""
    return list_scenes(synthetic_data, "training") + list_scenes(synthetic_data, "inference")


@pytest.fixture(scope="module")
def scenes(paths: list[Path]) -> list[Scene]:
    return [read(path) for path in paths]


def read(path: Path) -> Scene:
    with h5py.File(path) as file:
        return {name: file[name][...] for name in SHAPES}


def digest(scene: Scene) -> str:
    return hashlib.sha256(b"".join(scene[name].tobytes() for name in SHAPES)).hexdigest()


def agreement(scene: Scene, name: str) -> float:
    return float(np.mean((scene[name] > 0) == (scene["truth"] > 0)))


def channels(scene: Scene, step: int) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Normalised channels (n, 9) and labels (n,) of every `step`-th pixel of the centre."""
    region = training_region()
    image = np.concatenate([scene["refs"] - 0.5, (scene["bts"] - 270) / 22], axis=-1)[region]
    label = scene["bayes"][region] > 0
    return np.nan_to_num(image[::step, ::step]).reshape(-1, 9), label[::step, ::step].ravel()


# --- files ---------------------------------------------------------------------------------


def test_every_file_is_a_scene_that_says_how_it_was_made(paths: list[Path]) -> None:
    for path, (subset, index) in zip(
        paths, [("training", 0), ("training", 1), ("inference", 0), ("inference", 1)], strict=True
    ):
        inspect_scene(path)
        assert is_synthetic(path)
        with h5py.File(path) as file:
            assert dict(file.attrs) == {**IDENTITY, "subset": subset, "index": index}


def test_data_sets_have_the_schema_and_are_contiguous_in_the_file(paths: list[Path]) -> None:
    with h5py.File(paths[-1]) as file:
        assert set(file) == {
            *("refs", "bts", "rads", "bayes", "summary", "truth", "surface", "cloud_type")
        }
        for name, depth in {"refs": 6, "bts": 3, "rads": 6}.items():
            assert file[name].shape == (1200, 1500, depth)
        for name in ("bayes", "summary", "truth", "surface", "cloud_type"):
            assert file[name].shape == (1200, 1500, 1)
        for data in file.values():
            assert (data.dtype, data.chunks) == (np.float32, None)


def test_classes_have_names(paths: list[Path]) -> None:
    surface, cloud = (read_classes(paths[0], name) for name in ("surface", "cloud_type"))
    assert surface is not None
    assert cloud is not None
    assert surface[1] == {1: "sea", 2: "sea_ice", 3: "land", 4: "snow"}
    assert cloud[1] == {1: "fog", 2: "stratus", 3: "cumulus", 4: "thick", 5: "cirrus"}


def test_names_are_product_names_that_sort_by_index() -> None:
    names = [product_name("training", index) for index in range(1000)]
    names += [product_name("inference", index) for index in range(200)]
    assert names == sorted(set(names))
    assert names[1] == (
        "S3A_SL_1_RBT____20191001T122250_20191001T122550_20191002T162550_0179_050_023_5040"
        "_LN2_O_NT_003.hdf"
    )
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


def test_seed_subset_and_index_each_give_another_stream_that_never_changes() -> None:
    first = {
        (3, 0, "training"): 0.085649,
        (4, 0, "training"): 0.943056,
        (3, 1, "training"): 0.724389,
        (3, 0, "inference"): 0.253253,
    }
    for stream, value in first.items():
        assert float(scene_rng(*stream).random()) == pytest.approx(value, abs=1e-6)


def test_scenes_differ(scenes: list[Scene]) -> None:
    assert len({scene["bts"][600].tobytes() for scene in scenes}) == len(scenes)


@pytest.mark.slow
def test_one_process_alone_makes_the_same_bytes(scenes: list[Scene], tmp_path: Path) -> None:
    [path] = synthesize(tmp_path, 1, 0, SYNTHETIC_SEED, processes=1)
    assert digest(read(path)) == digest(scenes[0])


@pytest.mark.slow
def test_every_climate_has_its_scenes_and_the_bayesian_mask_its_weakness_by_night() -> None:
    """Scenes 2 and 3 are at middle latitudes; the others are tested above."""
    day, night = (make_scene(7, index, "training") for index in (2, 3))

    def missed(scene: Scene) -> float:
        return float(np.mean((scene["truth"] > 0) & (scene["bayes"] == 0)))

    assert missed(night) > 1.5 * missed(day)


def write_unfilled(path: Path, identity: dict[str, Any], shapes: dict[str, Any]) -> Path:
    """A scene's file without its values, which take no space then."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with h5py.File(path, "w") as file:
        for name, shape in shapes.items():
            file.create_dataset(name, shape, np.float32)
        file.attrs.update(identity)
    return path


@pytest.mark.parametrize(
    ("identity", "shapes", "kept"),
    [
        ({}, {}, True),
        ({"seed": SYNTHETIC_SEED + 1}, {}, False),
        ({"index": 1}, {}, False),
        ({"subset": "inference"}, {}, False),
        ({"generator": "another"}, {}, False),
        ({"generator_version": 1}, {}, False),
        ({}, {"truth": (1200, 1500)}, False),
        ({}, {"cloud_type": None}, False),
    ],
)
def test_only_a_complete_scene_of_the_same_origin_is_kept(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    identity: dict[str, Any],
    shapes: dict[str, Any],
    kept: bool,
) -> None:
    wanted = {name: shape for name, shape in (SHAPES | shapes).items() if shape}
    path = tmp_path / "training" / product_name("training", 0)
    write_unfilled(path, IDENTITY | identity, wanted)
    written: list[Path] = []
    monkeypatch.setattr(generate, "_write", lambda job: written.append(job.path))
    calls: list[int] = []
    made = synthesize(tmp_path, 1, 0, SYNTHETIC_SEED, processes=1, report=calls.append)
    assert made == [path]
    assert written == ([] if kept else [path])
    assert calls == ([1] if kept else [0, 1])


@pytest.mark.parametrize("content", [b"", b"not a scene"])
def test_a_broken_file_is_replaced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: bytes
) -> None:
    path = tmp_path / "training" / product_name("training", 0)
    path.parent.mkdir()
    path.write_bytes(content)
    empty = {name: np.zeros(1, np.float32) for name in SHAPES}
    monkeypatch.setattr(generate, "make_scene", lambda seed, index, subset: empty)
    synthesize(tmp_path, 1, 0, SYNTHETIC_SEED, processes=1)
    with h5py.File(path) as file:
        assert set(file) == set(SHAPES)
        assert dict(file.attrs) == IDENTITY
    assert list(path.parent.iterdir()) == [path]


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        ({"training_scenes": -1}, "training scenes is -1"),
        ({"inference_scenes": -2}, "inference scenes is -2"),
        ({"seed": -3}, "seed is -3"),
        ({"processes": 0}, "processes is 0"),
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
    with pytest.raises(InputError, match=r"taken \(Not a directory\); give another folder"):
        synthesize(tmp_path / "taken", 1, 0, SYNTHETIC_SEED)


def test_no_scenes_at_all_is_no_error(tmp_path: Path) -> None:
    assert synthesize(tmp_path, 0, 0, SYNTHETIC_SEED) == []


# --- statistics ----------------------------------------------------------------------------

# Of the pixels 50 or more from the edge. A change of these needs another GENERATOR_VERSION.
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


# --- difficulty ----------------------------------------------------------------------------


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
