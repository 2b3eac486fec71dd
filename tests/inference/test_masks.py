"""The masks that `infer` writes: their values, names and formats, and which are kept."""

import hashlib
from dataclasses import replace

import h5py
import numpy as np
import pytest
import torch
import xarray as xr

from cloudmask.model.card import Card
from cloudmask.model.unet import UNet
from cloudmask.model.weights import save_weights
from tests.inference.infer_command import COLD, infer, small_product, stem
from tests.scene_files import product_name, write_scene
from tests.scenes.scene_formats import BORDER
from tests.scenes.sen3_product import PRODUCT, small_content, write_product, write_view


def test_the_mask_is_what_the_network_sees(masked):
    with xr.open_dataset(masked[1] / f"{stem(1)}.nc") as data:
        cloud = np.zeros((1200, 1500), bool)
        cloud[COLD] = True
        np.testing.assert_array_equal(data.cloud_mask, cloud)
        np.testing.assert_array_equal(data.cloud_probability > 0.5, cloud)


def test_borders_without_measurements_are_missing_and_cold_pixels_next_to_them_are_not(masked):
    with xr.open_dataset(masked[1] / f"{stem(3)}.nc") as data:
        assert data.cloud_mask[:10].isnull().all()
        assert data.cloud_probability[:10].isnull().all()
        assert (data.cloud_mask[10:] == 1).all()


def test_masks_of_products_have_the_positions_of_their_pixels(masked):
    with xr.open_dataset(masked[1] / f"{PRODUCT}.nc") as data:
        assert set(data.cloud_mask.coords) == {"latitude", "longitude", "rows", "columns"}
        assert float(data.latitude[1000, 5]) == pytest.approx(50 - 9, abs=1e-4)
        assert float(data.longitude[5, 1000]) == pytest.approx(-10 + 14, abs=1e-4)
        assert data.cloud_mask[:BORDER].isnull().all()
        assert data.cloud_mask[BORDER:].notnull().all()


def test_a_mask_names_its_scene_weights_and_command(masked, weights, scenes):
    with xr.open_dataset(masked[1] / f"{stem(1)}.nc") as data:
        attributes = data.attrs
    path = scenes / "day" / product_name(1)
    assert attributes["source_product"] == stem(1)
    assert attributes["weights"] == "weights_0.safetensors"
    assert attributes["weights_sha256"] == hashlib.sha256(weights.read_bytes()).hexdigest()
    assert attributes["history"].endswith(f": infer --weights {weights} --scenes {path}")


def test_the_threshold_decides_and_the_temperature_only_scales_the_probability(tmp_path):
    network = UNet(widths=(1, 1, 1, 1))
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.zero_()
        network.output.bias[:] = -1.0
    weights = tmp_path / "weights_0.safetensors"
    save_weights(weights, network, Card(dataset="ds1", temperature=2.0))
    product = small_product(tmp_path)
    for threshold, cloudy in (("0.3", 1), ("0.4", 0)):
        folder = tmp_path / threshold
        finished = infer(weights, [product], folder, "--threshold", threshold)
        assert finished.out.startswith("weights weights_0.safetensors: trained on data set ds1")
        with xr.open_dataset(folder / f"{PRODUCT}.nc") as data:
            assert float(data.cloud_mask.min()) == float(data.cloud_mask.max()) == cloudy
            expected = 1 / (1 + np.exp(0.5))
            assert float(data.cloud_probability.max()) == pytest.approx(expected, abs=0.0051)
            assert data.attrs["weights_trained_on"] == "data set ds1"
            assert data.attrs["platform"] == "Sentinel-3A"
            assert data.attrs["processing_baseline"] == "004"


def test_hdf5_masks_have_the_layout_of_the_reference(weights, scenes, tmp_path):
    scene, mask = scenes / "day" / product_name(3), tmp_path / f"{stem(3)}.h5"
    assert infer(weights, [scene], tmp_path, "--format", "hdf5").code == 0
    with h5py.File(mask) as file:
        assert list(file) == ["mask"]
        values = file["mask"][...]
    assert (values.shape, values.dtype) == ((1200, 1500), np.uint8)
    assert values[:10].max() == 0
    assert values[10:].min() == 1
    assert list(tmp_path.iterdir()) == [mask]


def test_the_reference_tiling_gives_the_same_mask_here(weights, scenes, tmp_path, masked):
    """The network looks at one pixel only, so tiles and whole scene cannot differ."""
    scene = scenes / "day" / product_name(1)
    assert infer(weights, [scene], tmp_path, "--tiling", "reference").code == 0
    with (
        xr.open_dataset(tmp_path / f"{stem(1)}.nc") as tiled,
        xr.open_dataset(masked[1] / f"{stem(1)}.nc") as whole,
    ):
        np.testing.assert_array_equal(tiled.cloud_mask, whole.cloud_mask)


@pytest.mark.parametrize("tiling", ["whole", "reference"])
def test_the_tiling_that_was_asked_for_is_used(weights, scenes, tmp_path, monkeypatch, tiling):
    used = []

    def record(network, image, precision, batch_size, tiling, temperature):
        used.append(tiling)
        return np.zeros(image.shape[:2], np.float32)

    monkeypatch.setattr("cloudmask.inference.masker.predict_scene", record)
    scene = scenes / "day" / product_name(1)
    assert infer(weights, [scene], tmp_path, "--tiling", tiling).code == 0
    assert used == [tiling]


def test_a_scene_without_any_measurement_has_no_share_of_cloud(weights, tmp_path):
    path = write_scene(tmp_path / product_name(5), refs=0.0, bts=0.0)
    finished = infer(weights, [path], tmp_path)
    assert finished.code == 0
    assert f"\n{stem(5)}.nc   no pixel was measured\n" in finished.out


def test_both_views_of_a_product_get_a_mask_and_several_baselines_a_note(weights, tmp_path):
    product = write_product(tmp_path / "scenes", small_content())
    write_view(product, small_content((38, 36)), "o")
    finished = infer(weights, [product], tmp_path / "masks", "--view", "oblique")
    assert finished.code == 0
    old = write_scene(tmp_path / "scenes" / product_name(1))
    finished = infer(weights, [product, old], tmp_path / "masks")
    assert finished.code == 0
    assert "note: the scenes are of processing baselines 003, 004: " in finished.out
    shapes = {PRODUCT: (38, 60), f"{PRODUCT}_oblique": (38, 36)}
    for name, shape in shapes.items():
        with xr.open_dataset(tmp_path / "masks" / f"{name}.nc") as mask:
            assert mask.cloud_mask.shape == shape
            assert mask.attrs["history"].endswith("--view oblique") == (name != PRODUCT)


def test_notes_on_a_scene_are_printed_with_its_mask(weights, tmp_path):
    content = replace(small_content(), radiances=[None] * 6)
    finished = infer(weights, [write_product(tmp_path, content)], tmp_path / "masks")
    assert finished.code == 0
    assert "(S1-S6 are not in the product: their reflectances are missing)" in finished.out


@pytest.mark.parametrize("flags", [(), ("--format", "hdf5")])
def test_a_mask_that_would_be_the_same_is_kept_and_another_one_is_told(weights, tmp_path, flags):
    product, masks = small_product(tmp_path), tmp_path / "masks"
    assert infer(weights, [product], masks, *flags).code == 0
    (mask,) = masks.iterdir()
    first = mask.read_bytes()
    finished = infer(weights, [product], masks, *flags)
    assert (finished.code, finished.err) == (0, "")
    assert finished.out.endswith(f"0 masks written to {masks}, 1 kept, 0 failed\n")
    other = tmp_path / "weights_1.safetensors"
    save_weights(other, UNet(widths=(1, 1, 1, 1)))
    for given, reason in (
        ((other,), "weights_sha256"),
        ((weights, "--threshold", "0.1"), "cloud_threshold"),
        ((other, "--tiling", "reference"), "weights_sha256 and tiling"),
    ):
        finished = infer(given[0], [product], masks, *flags, *given[1:])
        assert finished.code == 4
        assert finished.err == (
            f"cloudmask infer: failed: {mask} exists and was made with another {reason}: give "
            "--overwrite, or another --output\n"
        )
        assert finished.out.endswith("0 kept, 1 made otherwise and kept, 0 failed\n")
        assert mask.read_bytes() == first
    finished = infer(other, [product], masks, *flags, "--overwrite")
    assert (finished.code, finished.err) == (0, "")
    assert mask.read_bytes() != first
    assert list(masks.iterdir()) == [mask]


def test_a_file_that_is_no_mask_is_not_taken_for_one(weights, tmp_path):
    product, mask = small_product(tmp_path), tmp_path / "masks" / f"{PRODUCT}.nc"
    mask.parent.mkdir()
    mask.write_bytes(b"something else")
    finished = infer(weights, [product], mask.parent)
    assert finished.code == 4
    assert mask.read_bytes() == b"something else"
