"""Products as they vary: other numbers of rows, shifted grids, night, the oblique view, baselines.

The products are small: no reader asks for the instrument's own numbers of rows and columns.
"""

from dataclasses import replace

import h5py
import numpy as np
import pytest

from cloudmask.errors import SceneError
from cloudmask.scenes.readers import read_scene
from cloudmask.scenes.scene import NOT_COMPUTED
from tests import scene_files
from tests.scenes.sen3_product import (
    BT_OFFSET,
    FILL,
    PRODUCT,
    SMALL,
    SUMMARY_CLOUD,
    small_content,
    write_product,
    write_view,
)

REFLECTANCE = 0.4
SATURATED, UNFILLED = 1 << 4, 1 << 7


def channels_of(scene):
    """The values of each channel that occur."""
    return [np.unique(scene.channels[..., index]).tolist() for index in range(9)]


@pytest.mark.parametrize("shape", [(1, 1), (7, 3), (38, 60), (1198, 16)])
def test_a_product_may_have_any_number_of_rows_and_columns(tmp_path, shape):
    scene = read_scene(write_product(tmp_path, small_content(shape)))
    assert scene.channels.shape == (*shape, 9)
    assert scene.label.shape == scene.summary.shape == scene.geolocation[0].shape == shape
    expected = np.broadcast_to([REFLECTANCE] * 6 + [BT_OFFSET] * 3, scene.channels.shape)
    np.testing.assert_allclose(scene.channels, expected, rtol=1e-5)
    assert not scene.missing.any()


def test_a_product_without_a_pixel_is_refused(tmp_path):
    product = write_product(tmp_path, small_content())
    (product / "S7_BT_in.nc").unlink()
    with h5py.File(product / "S7_BT_in.nc", "w") as file:
        file["S7_BT_in"] = np.zeros((0, 1500), np.int16)
    expected = (
        r"S7_BT_in.nc: 'S7_BT_in' has shape \(0, 1500\): no pixel; give a whole copy of the product"
    )
    with pytest.raises(SceneError, match=expected):
        read_scene(product)


@pytest.mark.parametrize(("shift", "fine_rows"), [(0, 76), (-1, 76), (-1, 77), (1, 75), (0, 77)])
def test_fine_rows_lie_where_start_offsets_put_them(tmp_path, shift, fine_rows):
    content = small_content(fine_rows=fine_rows)
    fine = content.radiances[0]
    fine[10 - shift], fine[11 - shift] = 1000, 3000  # the two rows of row 5 at 1 km
    product = write_product(tmp_path, replace(content, fine_start=content.fine_start + shift))
    scene = read_scene(product)
    rows = scene.channels[:, 30, 0]
    assert rows[5] == pytest.approx(REFLECTANCE / 2, rel=1e-5)
    np.testing.assert_allclose(np.delete(rows, 5), REFLECTANCE, rtol=1e-5)
    assert not scene.missing.any()


def test_grids_that_do_not_lie_on_each_other_are_refused(tmp_path):
    content = small_content()
    product = write_product(tmp_path, replace(content, fine_start=content.fine_start - 40))
    with pytest.raises(SceneError, match=r"S1_radiance_an.nc: start offsets are 7960 at 0.5 km"):
        read_scene(product)


def manifest(fine_start, baseline="005"):
    sizes = {"1 km": (20437, 990), "0.5 km stripe A": (fine_start, 1980), "Tie Points": (20437, 80)}
    grids = "".join(
        f'<s:nadirImageSize grid="{name}"><t:startOffset>{start}</t:startOffset>'
        f"<t:trackOffset>{track}</t:trackOffset></s:nadirImageSize>"
        for name, (start, track) in sizes.items()
    )
    collection = f"<t:baselineCollection>{baseline}</t:baselineCollection>"
    return f'<x xmlns:s="urn:slstr" xmlns:t="urn:sentinel3">{collection}{grids}</x>'


def test_the_manifest_knows_grids_and_baseline_better_than_files_and_names(tmp_path):
    content = small_content()
    content.radiances[0][11], content.radiances[0][12] = 1000, 3000
    product = write_product(tmp_path, content)
    (product / "xfdumanifest.xml").write_text(manifest(40873))
    scene = read_scene(product)
    assert scene.baseline == 5
    assert scene.channels[5, 30, 0] == pytest.approx(REFLECTANCE / 2 / 0.97, rel=1e-5)
    (product / "xfdumanifest.xml").write_text(manifest(40873)[:200])
    with pytest.raises(SceneError, match=r"xfdumanifest.xml cannot be read \(.*; give the whole"):
        read_scene(product)


def test_a_product_without_any_offsets_is_refused(tmp_path):
    product = write_product(tmp_path, small_content())
    with h5py.File(product / "geometry_tn.nc", "a") as file:
        del file.attrs["track_offset"]
    expected = r"geometry_tn.nc has no start_offset and track_offset, and the product has no xfdu"
    with pytest.raises(SceneError, match=expected):
        read_scene(product)


def test_corrected_and_uncorrected_baselines_give_the_same_reflectances(tmp_path):
    content = small_content()
    old = read_scene(write_product(tmp_path, content))
    factors = [0.97, 0.98, 0.98, 1, 1.11, 1.13]
    corrected = [np.rint(4000 * factor).astype(np.int16) for factor in factors]
    for counts, value in zip(content.radiances, corrected, strict=True):
        counts[:] = value
    new = read_scene(write_product(tmp_path, content, name=PRODUCT[:-3] + "005"))
    assert (old.baseline, new.baseline) == (4, 5)
    np.testing.assert_allclose(new.channels, old.channels, rtol=1e-4)


def test_unfilled_pixels_are_missing_and_saturated_ones_are_kept_and_flagged(tmp_path):
    coarse, fine = (np.zeros((k * SMALL[0], k * SMALL[1]), np.uint8) for k in (1, 2))
    coarse[3, 4], coarse[3, 5] = UNFILLED, SATURATED
    fine[20:22, 30:32], fine[20, 33] = UNFILLED, SATURATED
    content = replace(small_content(), exceptions={"S8": coarse, "S2": fine})
    scene = read_scene(write_product(tmp_path, content))
    assert np.argwhere(scene.missing).tolist() == [[3, 4, 7], [10, 15, 1]]
    assert np.argwhere(scene.flags["saturated"]).tolist() == [[3, 5], [10, 16]]
    assert scene.channels[10, 16, 1] == pytest.approx(REFLECTANCE, rel=1e-5)


def test_what_was_not_computed_is_neither_cloud_nor_clear(tmp_path):
    content = small_content()
    content.bayes[0, :4] = 255, 16, 2, 0
    content.confidence[0, 1] |= SUMMARY_CLOUD
    scene = read_scene(write_product(tmp_path / "some", content))
    assert scene.label[0, :4].tolist() == [NOT_COMPUTED, NOT_COMPUTED, 1, 0]
    assert np.argwhere(scene.summary).tolist() == [[0, 1]]
    content.bayes[:] = 255
    assert read_scene(write_product(tmp_path / "none", content)).label is None


@pytest.mark.parametrize("light", ["absent", "fill", "noise"])
def test_night_is_dark_however_its_reflectances_are_shipped(tmp_path, light):
    content = small_content(zenith=120.0)
    for counts in content.temperatures:
        counts[:, :7] = FILL  # not seen
    for index, counts in enumerate(content.radiances):
        counts[:] = np.resize([3, -3], counts.shape) if light == "noise" and index > 3 else FILL
        counts[:, :14] = FILL
    if light == "absent":
        content = replace(content, radiances=[None] * 6)
    scene = read_scene(write_product(tmp_path, content))
    assert scene.not_measured[:, :7].all()
    assert not scene.missing[:, 7:].any()
    np.testing.assert_allclose(scene.channels[..., :6], 0, atol=4 * REFLECTANCE / 4000)
    assert scene.notes == ()


@pytest.mark.parametrize("value", [np.nan, 120.0, 30.0])
def test_whether_it_is_night_is_judged_where_something_was_seen(tmp_path, value):
    """Sun angles are fill, or anything, where nothing was seen."""
    content = small_content()
    for counts in content.temperatures:
        counts[:, :20] = FILL

    def zenith(row, column):
        return np.where(np.asarray(column) < 0, value, 120.0)

    dark = replace(content, zenith=zenith, radiances=[None] * 6)
    scene = read_scene(write_product(tmp_path, dark))
    assert scene.not_measured[:, :20].all()
    assert not scene.missing[:, 20:].any()
    assert scene.notes == ()


def test_a_day_product_without_reflectances_says_so(tmp_path):
    content = replace(small_content(), radiances=[None] * 6)
    scene = read_scene(write_product(tmp_path, content))
    assert scene.missing[..., :6].all()
    assert not scene.missing[..., 6:].any()
    assert scene.notes == ("S1-S6 are not in the product: their reflectances are missing",)


def test_the_oblique_view_is_read_on_request(tmp_path):
    product = write_product(tmp_path, small_content())
    with pytest.raises(SceneError, match=r"S7_BT_io\.nc is missing"):
        read_scene(product, "oblique")
    oblique = small_content((38, 36))
    oblique.temperatures[0][:] = 100
    write_view(product, oblique, "o")
    scene = read_scene(product, "oblique")
    assert (scene.view, scene.channels.shape) == ("oblique", (38, 36, 9))
    assert scene.channels[0, 0, 6] == pytest.approx(BT_OFFSET + 1)
    assert read_scene(product).view == "nadir"


def test_scenes_in_hdf5_have_the_nadir_view_alone(tmp_path):
    path = scene_files.write_scene(tmp_path / "S3A.hdf")
    with pytest.raises(SceneError, match=r"^S3A.hdf: HDF5 scenes have the nadir view alone: give "):
        read_scene(path, "oblique")


def test_orphan_pixels_are_left_out_and_counted(tmp_path):
    product = write_product(tmp_path, small_content())
    orphans = np.full((38, 5), FILL, np.int16)
    orphans[3, :2] = 0
    with h5py.File(product / "S8_BT_in.nc", "a") as file:
        file["S8_BT_orphan_in"] = orphans
        file["S8_BT_orphan_in"].attrs["_FillValue"] = np.int16(FILL)
    scene = read_scene(product)
    assert scene.notes == ("2 orphan pixels of S8 left out",)
    assert scene.channels.shape == (*SMALL, 9)


@pytest.mark.parametrize("content", ["NaN", "fill"])
def test_a_product_in_which_nothing_was_measured_is_read_as_that(tmp_path, content):
    nothing = small_content()
    if content == "fill":
        for counts in [*nothing.radiances, *nothing.temperatures]:
            counts[:] = FILL
    else:
        nothing = replace(
            nothing,
            radiances=[np.full(each.shape, np.nan, np.float32) for each in nothing.radiances],
            temperatures=[np.full(SMALL, np.nan, np.float32)] * 3,
        )
    scene = read_scene(write_product(tmp_path, nothing))
    assert scene.not_measured.all()
    assert (scene.channels == 0).all()


def test_channels_are_those_of_each_channel(tmp_path):
    content = small_content()
    for number, counts in enumerate([*content.radiances, *content.temperatures], 1):
        counts[:] = 100 * number
    found = channels_of(read_scene(write_product(tmp_path, content)))
    expected = [[REFLECTANCE * number / 40] for number in range(1, 7)]
    expected += [[BT_OFFSET + number] for number in (7, 8, 9)]
    np.testing.assert_allclose(found, expected, rtol=1e-5)


@pytest.mark.parametrize("dtype", ["<i2", ">i2", ">u2", "<u4"])
def test_flags_of_any_integer_type_and_byte_order_are_bits(tmp_path, dtype):
    product = write_product(tmp_path, small_content())
    (product / "flags_in.nc").unlink()
    confidence = np.full(SMALL, SUMMARY_CLOUD | 1 << 3, dtype)
    with h5py.File(product / "flags_in.nc", "w") as file:
        file["confidence_in"] = confidence
        file["bayes_in"] = np.full(SMALL, 2, "i1")
    scene = read_scene(product)
    assert scene.summary.all()
    assert scene.flags["land"].all()
    assert not scene.flags["cosmetic"].any()
    assert scene.label.all()
