"""The contract of every scene reader: the same pixels give the same scene, whatever the file."""

import shutil
import zipfile
from pathlib import Path

import h5py
import numpy as np
import pytest

from cloudmask.errors import InputError, SceneError
from cloudmask.scenes.readers import find_scenes, product_name, read_scene
from cloudmask.scenes.scene import normalise
from cloudmask.science.pixel_features import read_pixel_features
from tests import scene_files
from tests.scenes.scene_formats import (
    ALL_FOUR,
    BORDER,
    COLD_MISSING,
    FORMATS,
    ONE_OF_FOUR,
    SHAPE,
    Hdf5,
    Pixels,
    Sen3Folder,
)
from tests.scenes.sen3_product import PRODUCT


@pytest.fixture(scope="module")
def pixels():
    return Pixels()


@pytest.fixture(scope="module", params=FORMATS)
def scene_format(request):
    return FORMATS[request.param]


@pytest.fixture(scope="module")
def path(scene_format, pixels, tmp_path_factory):
    return scene_format.write(tmp_path_factory.mktemp("format"), pixels)


@pytest.fixture(scope="module")
def scene(path):
    return read_scene(path)


@pytest.fixture
def copy(scene_format, path, tmp_path):
    return scene_format.copy(path, tmp_path)


def test_channels_are_reflectances_and_kelvin_on_the_1km_grid_and_0_where_missing(scene, pixels):
    assert (scene.channels.shape, scene.channels.dtype) == ((*SHAPE, 9), np.float32)
    expected = np.concatenate([pixels.refs, pixels.bts], axis=-1)
    np.testing.assert_array_equal(scene.missing, np.isnan(expected))
    np.testing.assert_allclose(scene.channels, np.nan_to_num(expected), rtol=2e-6)


def test_only_pixels_without_any_measurement_are_not_measured(scene):
    assert scene.missing[ALL_FOUR].tolist() == [True] * 6 + [False] * 3
    assert not scene.missing[ONE_OF_FOUR].any()
    assert scene.missing[COLD_MISSING].tolist() == [False] * 7 + [True, False]
    assert scene.not_measured[:BORDER].all()
    assert not scene.not_measured[BORDER:].any()


def test_every_format_gives_the_network_the_same_image(path, scene, pixels, tmp_path):
    """Also the data set's own way, in which what is missing is stored as 0."""
    zeros = Pixels()
    zeros.refs, zeros.bts = np.nan_to_num(pixels.refs), np.nan_to_num(pixels.bts)
    stored = read_scene(Hdf5().write(tmp_path, zeros))
    np.testing.assert_array_equal(stored.not_measured, scene.not_measured)
    images = [normalise(each.channels.copy()) for each in (scene, stored)]
    np.testing.assert_allclose(*images, atol=1e-5)


def test_label_and_summary_are_one_where_any_flag_is_set(scene, pixels):
    for mask, flags in ((scene.label, pixels.bayes), (scene.summary, pixels.cloud)):
        assert mask.dtype == np.uint8
        np.testing.assert_array_equal(mask, flags != 0)


def test_scenes_without_masks_have_neither(scene_format, copy, scene):
    scene_format.remove(copy, masks=True)
    bare = read_scene(copy)
    assert (bare.label, bare.summary) == (None, None)
    np.testing.assert_array_equal(bare.channels, scene.channels)


def refusal_of(path):
    with pytest.raises(SceneError) as caught:
        read_scene(path)
    return str(caught.value)


# None speaks of `fetch`, from which most people's scenes did not come, or of deleting the file.
REMEDIES = (
    *("give a whole copy of it", "give a scene that has it", "give the whole product"),
    *("give a whole copy of the product", "check its path"),
)


def refusal(path):
    """The one sentence that refuses a scene: its name, the reason, and what to do."""
    message = refusal_of(path)
    assert message.startswith(f"{path.name}: ")
    assert "\n" not in message
    reason, _, remedy = message.removeprefix(f"{path.name}: ").rpartition("; ")
    assert remedy in REMEDIES
    return reason.removeprefix("S7_BT_in.nc: ")


def test_a_truncated_scene_is_refused_as_truncated(scene_format, copy):
    file = scene_format.damaged_file(copy)
    half = file.stat().st_size // 2
    file.write_bytes(file.read_bytes()[:half])
    expected = f"the file is truncated at {half} bytes"
    if copy.suffix == ".zip":
        expected = "the file cannot be read (File is not a zip file)"
    assert refusal(copy) == expected


@pytest.mark.parametrize("content", [b"", b"not a scene" * 100], ids=["empty", "text"])
def test_a_file_of_another_kind_is_refused_as_such(scene_format, copy, content):
    scene_format.damaged_file(copy).write_bytes(content)
    zipped = copy.suffix == ".zip"
    expected = "the file cannot be read (File is not a zip file)" if zipped else "is not HDF5"
    assert expected in refusal(copy)


def test_an_incomplete_scene_is_refused_by_the_name_of_what_is_missing(scene_format, copy):
    scene_format.remove(copy, s8=True)
    assert refusal(copy) in ("'bts' is missing", "S8_BT_in.nc is missing")


def test_a_scene_that_is_gone_is_refused(copy):
    if copy.is_dir():
        shutil.rmtree(copy)
    else:
        copy.unlink()
    assert refusal(copy) == "the file does not exist"


SCENES_WANTED = "give HDF5 scenes, or SL_1_RBT products (a .SEN3 folder or a zip archive of one)"


def test_a_file_that_is_no_scene_is_refused_with_what_is_wanted(tmp_path):
    text, netcdf = tmp_path / "README.md", tmp_path / "sst.nc"
    text.write_text("# Scenes")
    with h5py.File(netcdf, "w") as file:
        file["sea_surface_temperature"] = np.zeros(3)
    assert refusal_of(text) == f"README.md: the file is not HDF5: {SCENES_WANTED}"
    assert refusal_of(netcdf) == f"sst.nc: the file has no 'refs' and 'bts': {SCENES_WANTED}"


@pytest.mark.parametrize("name", ["xfdumanifest.xml", "S7_BT_in.nc"])
def test_a_single_file_of_a_product_is_refused_with_the_product_s_folder(
    tmp_path, monkeypatch, name
):
    folder = tmp_path / f"{PRODUCT}.SEN3"
    folder.mkdir()
    (folder / name).touch()
    expected = f"{name}: the file is one of a product: give its folder {folder}"
    assert refusal_of(folder / name) == expected
    monkeypatch.chdir(folder)
    assert refusal_of(Path(name)) == expected


@pytest.mark.parametrize("suffix", [".SEN3", ".SEN3.zip"])
def test_a_product_of_another_type_is_refused_with_the_type_that_is_wanted(tmp_path, suffix):
    path = tmp_path / f"{PRODUCT.replace('SL_1_RBT', 'SL_2_WST')}{suffix}"
    if suffix == ".SEN3":
        path.mkdir()
    else:
        path.touch()
    assert refusal_of(path) == (
        f"{path.name}: the product is SL_2_WST, which lacks the channels: give the SL_1_RBT "
        "product of the same time"
    )


def test_a_folder_or_archive_without_a_product_is_refused_as_such(tmp_path):
    folder, archive = tmp_path / f"{PRODUCT}.SEN3", tmp_path / "photos.zip"
    folder.mkdir()
    with zipfile.ZipFile(archive, "w") as file:
        file.writestr("photo.jpeg", b"")
    for path in (folder, archive):
        assert refusal_of(path).startswith(f"{path.name}: holds no NetCDF file: give a product's ")


@pytest.mark.parametrize("name", [f"{PRODUCT}.zarr", "S3SLSRBT_20220111T104105_0179_A360.zarr"])
def test_an_eopf_product_is_found_and_refused_in_one_sentence(tmp_path, name):
    product = tmp_path / name
    (product / "measurements" / "inadir" / "s8_bt").mkdir(parents=True)
    (product / ".zgroup").write_text('{"zarr_format": 2}')
    assert find_scenes([tmp_path]) == find_scenes([product]) == [product]
    for read in (read_scene, read_pixel_features):
        with pytest.raises(SceneError, match=rf"^{name}: this is an EOPF Zarr product, which is"):
            read(product)


def test_a_product_in_a_folder_of_its_own_name_is_read(pixels, tmp_path):
    outer = tmp_path / "outer" / f"{PRODUCT}.SEN3"
    Sen3Folder().write(outer, pixels)
    assert find_scenes([tmp_path / "outer"]) == [outer]
    np.testing.assert_allclose(
        read_scene(outer).channels[..., 6:], np.nan_to_num(pixels.bts), rtol=2e-6
    )


def test_a_scene_of_another_suffix_is_read(tmp_path):
    path = scene_files.write_scene(tmp_path / "scene.h5")
    assert (read_scene(path).channels[..., 6:] == 285).all()
    path.write_bytes(path.read_bytes()[:1000])
    assert "truncated" in refusal_of(path)


def test_every_format_gives_its_mask_the_same_name(path):
    assert product_name(path) == PRODUCT


def test_folders_are_searched_for_scenes_and_products(tmp_path):
    product = tmp_path / "b" / f"{PRODUCT}.SEN3"
    product.mkdir(parents=True)
    (product / "S3A_inside.hdf").touch()
    archive = tmp_path / "c" / f"{PRODUCT}.zip"
    archive.parent.mkdir()
    archive.touch()
    scene = tmp_path / "a" / scene_files.product_name(1)
    scene.parent.mkdir()
    scene.touch()
    (tmp_path / "photos.zip").touch()
    assert find_scenes([tmp_path]) == [scene, product, archive]
    assert find_scenes([scene, tmp_path]) == [scene, product, archive]
    assert find_scenes([tmp_path / "photos.zip"]) == [tmp_path / "photos.zip"]


def test_paths_without_scenes_are_refused_by_name(tmp_path):
    with pytest.raises(InputError, match="nowhere does not exist"):
        find_scenes([tmp_path / "nowhere"])
    with pytest.raises(InputError, match=f"no scene in {tmp_path}: expected S3"):
        find_scenes([tmp_path])
