"""Scenes that somebody spoiled, together in one call: each named, the others masked."""

from __future__ import annotations

import zipfile
from dataclasses import replace

import numpy as np
import xarray as xr

from cloudmask.cli import main
from cloudmask.model.unet import UNet
from cloudmask.model.weights import save_weights
from tests.scenes.sen3_product import FILL, PRODUCT, small_content, write_product, zip_product


def named(folder, hour):
    return folder / f"{PRODUCT.replace('T1000', f'T{hour}00')}.SEN3"


def product(folder, hour, content):
    made = write_product(folder / str(hour), content)
    path = named(folder, hour)
    made.rename(path)
    return path


def test_each_spoiled_scene_is_named_and_the_others_are_masked(tmp_path, capsys):
    weights = tmp_path / "weights_0.safetensors"
    save_weights(weights, UNet(widths=(1, 1, 1, 1)))
    scenes = tmp_path / "scenes"
    shape = (64, 72)
    fine = (128, 144)
    good = small_content(shape)
    nothing = replace(
        good,
        radiances=[np.full(fine, FILL, np.int16)] * 6,
        temperatures=[np.full(shape, FILL, np.int16)] * 3,
    )
    night = replace(
        small_content(shape, zenith=120.0), radiances=[np.full(fine, FILL, np.int16)] * 6
    )
    masked = {10: good, 11: nothing, 12: night}
    for hour, content in masked.items():
        product(scenes, hour, content)
    whole = product(tmp_path / "other", 13, good)
    archive = zip_product(whole, tmp_path / "whole.zip")
    hostile = {14: "../outside.nc", 15: "/tmp/outside.nc"}
    for hour, member in hostile.items():
        path = named(scenes, hour).with_suffix(".SEN3.zip")
        path.write_bytes(archive.read_bytes())
        with zipfile.ZipFile(path, "a") as file:
            file.writestr(member, b"x")
    data = archive.read_bytes()
    named(scenes, 16).with_suffix(".SEN3.zip").write_bytes(data[: len(data) // 2])
    named(scenes, 17).mkdir()
    truncated = product(scenes, 18, good) / "S8_BT_in.nc"
    truncated.write_bytes(truncated.read_bytes()[:-2000])
    output = tmp_path / "masks"
    arguments = ["infer", "--weights", weights, "--scenes", scenes, "--output", output]
    assert main(list(map(str, arguments))) == 4
    finished = capsys.readouterr()
    failed = finished.err.splitlines()
    assert len(failed) == 5
    for hour, line in zip((14, 15, 16, 17, 18), failed, strict=True):
        assert line.startswith(f"cloudmask infer: failed: {named(scenes, hour).name}")
    assert len(list(output.iterdir())) == 3
    assert "no pixel was measured" in finished.out
    with xr.open_dataset(output / named(output, 11).with_suffix(".nc").name) as mask:
        assert mask.cloud_mask.isnull().all()
        assert int(mask.quality_level.max()) == 0
    with xr.open_dataset(output / named(output, 12).with_suffix(".nc").name) as mask:
        assert mask.cloud_mask.notnull().all()
        assert int(mask.quality_level.min()) > 0
