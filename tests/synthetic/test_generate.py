"""Synthetic scenes: their names and files."""

from __future__ import annotations

import fcntl
import hashlib
import os
import re
from datetime import datetime
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from cloudmask.errors import InputError
from cloudmask.scenes.hdf5_scene import inspect_scene, read_classes
from cloudmask.synthetic import generate
from cloudmask.synthetic.generate import SHAPES, make_scene, product_name, scene_rng, synthesize
from tests.scene_files import SYNTHETIC_SEED
from tests.synthetic.scene_data import Scene, read

IDENTITY = {
    "generator": "cloudmask synthetic scenes",
    "generator_version": 2,
    "seed": SYNTHETIC_SEED,
    "subset": "training",
    "index": 0,
}


def digest(scene: Scene) -> str:
    return hashlib.sha256(b"".join(scene[name].tobytes() for name in SHAPES)).hexdigest()


def test_every_file_is_a_scene_that_says_how_it_was_made(paths: list[Path]) -> None:
    for path, (subset, index) in zip(
        paths, [("training", 0), ("training", 1), ("inference", 0), ("inference", 1)], strict=True
    ):
        assert inspect_scene(path) == "synthetic"
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


def test_scenes_are_written_where_locks_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "training" / product_name("training", 0)
    path.parent.mkdir()
    empty = {name: np.zeros(1, np.float32) for name in SHAPES}
    monkeypatch.setattr(generate, "make_scene", lambda seed, index, subset: empty)
    with path.with_name(f"{path.name}.{os.getpid()}.part").open("wb") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        synthesize(tmp_path, 1, 0, SYNTHETIC_SEED, processes=1)
    assert list(path.parent.iterdir()) == [path]


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
