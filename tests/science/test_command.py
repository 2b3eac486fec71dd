"""The command `evaluate`, on real files."""

from __future__ import annotations

import json
import os
import shutil
import signal
from pathlib import Path

import numpy as np
import pytest

from cloudmask.cli import main
from cloudmask.errors import InputError
from cloudmask.model.unet import UNet
from cloudmask.model.weights import save_weights
from cloudmask.science.pixel_features import read_pixel_features
from cloudmask.science.scene_workers import map_scenes
from tests.scene_files import product_name, write_learnable_scene, write_scene
from tests.scenes.sen3_product import OCEAN, small_content, write_product


@pytest.fixture(scope="session")
def weights(tmp_path_factory):
    path = tmp_path_factory.mktemp("weights") / "weights_0.safetensors"
    save_weights(path, UNet(widths=(2, 2, 2, 2)))
    return path


@pytest.mark.slow
def test_command_writes_json_text_and_screen_and_names_what_it_left_out(tmp_path, weights, capsys):
    for number in range(2):
        write_learnable_scene(tmp_path / "training" / product_name(number), number)
    write_learnable_scene(tmp_path / "judged" / product_name(5), 5)
    (tmp_path / "judged" / product_name(6)).write_bytes(b"no scene")
    out = tmp_path / "out"
    command = ["evaluate", "--weights", weights, "--scenes", tmp_path / "judged"]
    command += ["--training-scenes", tmp_path / "training", "--output", out]
    assert main([str(part) for part in command]) == 4
    report = json.loads((out / "evaluation.json").read_text())
    assert report["format"] == "cloudmask-evaluation-1"
    assert report["scenes"] == [product_name(5)]
    assert list(report["unusable"]) == [product_name(6)]
    assert not any("fitted to scenes" in note for note in report["notes"])
    masks = report["references"]["truth"]["masks"]
    assert masks["bayesian_screen"]["accuracy"]["value"] > 0.95
    assert masks["summary"]["accuracy"]["value"] == 1
    assert (out / "evaluation.txt").read_text() == capsys.readouterr().out

    assert main([str(part) for part in command]) == 2
    assert "exists" in capsys.readouterr().err

    command = ["evaluate", "--weights", weights, "--scenes", tmp_path / "training"]
    command += ["--bayesian-screen", out / "bayesian_screen.npz", "--format", "json"]
    assert main([str(part) for part in command]) == 0
    again = json.loads(capsys.readouterr().out)
    assert again["references"]["truth"]["masks"]["bayesian_screen"]["accuracy"]["value"] > 0.95


@pytest.mark.parametrize(
    ("flags", "named"),
    [
        (["--weights", "nowhere.safetensors"], "nowhere.safetensors"),
        (["--scenes", "nowhere"], "nowhere"),
        (["--scenes", "{empty}"], "holds no scene"),
        (["--min-sst", "270"], "270"),
        (["--min-sst", "273.1"], "--min-sst is 273.1: give kelvin from 273.15 up"),
        (["--min-sst", "320"], "--min-sst is 320"),
        (["--positive-weight", "0"], "--positive-weight"),
        (["--batch-size", "0"], "--batch-size"),
        (["--workers", "0"], "--workers is 0: give 1 or more processes"),
        (["--bayesian-screen", "x.npz"], "x.npz"),
    ],
)
def test_bad_input_is_one_sentence_and_nothing_is_written(tmp_path, weights, capsys, flags, named):
    (tmp_path / "empty").mkdir()
    write_scene(tmp_path / "scenes" / product_name(0))
    given = {"--weights": str(weights), "--scenes": str(tmp_path / "scenes")}
    given |= {"--output": str(tmp_path / "out")}
    given |= {flags[0]: flags[1].format(empty=tmp_path / "empty")}
    assert main(["evaluate", *(part for pair in given.items() for part in pair)]) == 2
    message = capsys.readouterr().err
    assert named in message
    assert len(message.splitlines()) == 1
    assert not (tmp_path / "out").exists()


def test_training_scene_without_label_is_named(tmp_path, weights, capsys):
    write_scene(tmp_path / product_name(0), bayes=None)
    command = ["evaluate", "--weights", str(weights), "--scenes", str(tmp_path)]
    assert main([*command, "--training-scenes", str(tmp_path)]) == 2
    assert "no label to learn from" in capsys.readouterr().err


def test_a_product_is_evaluated_with_its_own_masks_and_surface(tmp_path, weights, capsys):
    content = small_content((64, 72))
    rows = np.arange(64)[:, None]
    content.bayes[:] = np.where(rows < 16, 2, 0)
    content.bayes[-8:] = 255
    content.confidence[:] = np.where(rows < 32, OCEAN, 1 << 3) | np.where(rows < 8, 1 << 14, 0)
    product = write_product(tmp_path / "scenes", content)
    features = read_pixel_features(product)
    assert features.channels.shape == (64, 72, 9)
    assert features.sea is not None
    assert features.sea.mean() == 0.5
    assert not features.valid[-8:].any()
    assert features.valid[:-8].all()
    (tmp_path / "scenes" / product.name.replace("T1000", "T1100")).mkdir()
    command = ["evaluate", "--weights", weights, "--scenes", tmp_path / "scenes"]
    assert main([str(part) for part in [*command, "--format", "json"]]) == 4
    report = json.loads(capsys.readouterr().out)
    assert report["scenes"] == [product.name]
    assert list(report["unusable"]) == [product.name.replace("T1000", "T1100")]
    masks = report["references"]["label"]["masks"]
    assert masks["summary"]["accuracy"]["value"] == pytest.approx(48 / 56)


@pytest.mark.slow
def test_workers_find_what_one_process_finds(tmp_path, weights, capsys):
    content = small_content((64, 72))
    content.bayes[:16] = 2
    product = write_product(tmp_path / "scenes", content)
    shutil.copytree(product, tmp_path / "scenes" / product.name.replace("T1000", "T1200"))
    (tmp_path / "scenes" / product.name.replace("T1000", "T1100")).mkdir()
    command = ["evaluate", "--weights", weights, "--scenes", tmp_path / "scenes"]
    reports = []
    for workers in "12":
        given = [*command, "--format", "json", "--workers", workers]
        assert main([str(part) for part in given]) == 4
        reports.append(json.loads(capsys.readouterr().out))
        del reports[-1]["settings"]
    assert len(reports[0]["scenes"]) == 2
    assert reports[0] == reports[1]


@pytest.mark.slow
def test_a_worker_that_is_lost_fails_its_scenes():
    unusable = {}
    with pytest.raises(InputError, match="the first of 2: a: a worker process was lost"):
        map_scenes(kill_worker, [Path("a"), Path("b")], "scene", unusable, no_progress, 2)
    assert sorted(unusable) == ["a", "b"]


def kill_worker(path):
    os.kill(os.getpid(), signal.SIGKILL)


def no_progress(scenes):
    pass
