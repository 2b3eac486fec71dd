"""Where the scenes of a data set are found."""

import errno
import os

import pytest

from cloudmask.errors import InputError, SceneError
from cloudmask.scenes.hdf5_scene import inspect_scene
from cloudmask.scenes.layout import list_scenes, search_scenes
from cloudmask.scenes.readers import scenes_of_folder
from tests.scene_files import product_name


@pytest.mark.parametrize(
    "folders", [("training", "inference"), ("one-day", "ssts/day"), ("one-day/x/y", "ssts/night")]
)
def test_both_folder_layouts_are_listed_in_order(tmp_path, folders):
    for folder in folders:
        (tmp_path / folder).mkdir(parents=True)
    for number in (3, 1, 2):
        (tmp_path / folders[0] / product_name(number)).touch()
    (tmp_path / folders[1] / product_name(4)).touch()
    (tmp_path / folders[0] / "README.txt").touch()
    training = list_scenes(tmp_path, "training")
    assert [path.name for path in training] == [product_name(n) for n in (1, 2, 3)]
    assert [path.name for path in list_scenes(tmp_path, "inference")] == [product_name(4)]


def test_folders_without_scenes_are_refused_by_name(tmp_path):
    with pytest.raises(InputError, match="nowhere does not exist"):
        list_scenes(tmp_path / "nowhere", "training")
    with pytest.raises(InputError, match="no training scene"):
        list_scenes(tmp_path, "training")
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match="file is not a folder"):
        list_scenes(tmp_path / "file", "training")


@pytest.fixture
def put(tmp_path):
    """A function that makes an empty scene of a number in a folder, and returns its path."""

    def put_scene(folder, number):
        path = tmp_path / folder / product_name(number)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
        return path

    return put_scene


def test_scenes_are_found_at_any_depth_sorted_by_path(tmp_path, put):
    found = [put("a", 2), put("b/c", 0)]
    (tmp_path / "README.hdf").touch()
    empty = tmp_path / product_name(1)
    empty.mkdir()
    assert scenes_of_folder(tmp_path, "--scenes") == found
    with pytest.raises(InputError, match=r"--scenes .*README\.hdf is not a folder"):
        scenes_of_folder(tmp_path / "README.hdf", "--scenes")
    with pytest.raises(InputError, match=r"--scenes .* holds no scene: expected S3"):
        scenes_of_folder(empty, "--scenes")


def test_linked_folders_are_searched_like_others(tmp_path, put):
    put("data/training", 1)
    put("disk2/2019", 2)
    put("disk3", 3)
    (tmp_path / "data/training/2019").symlink_to(tmp_path / "disk2/2019")
    (tmp_path / "disk2/2019/more").symlink_to("../../disk3")
    scenes = list_scenes(tmp_path / "data", "training")
    assert {scene.name for scene in scenes} == {product_name(n) for n in (1, 2, 3)}


def test_no_folder_is_searched_twice_whatever_the_links(tmp_path, put):
    put("training/a", 1)
    put("training/b", 2)
    (tmp_path / "training/a/loop").symlink_to("..")
    (tmp_path / "training/c").symlink_to("b")
    (tmp_path / "one-day").symlink_to("training")
    scenes = list_scenes(tmp_path, "training")
    assert [scene.name for scene in scenes] == [product_name(1), product_name(2)]


@pytest.mark.parametrize("link", ["training/2019", "training", "one-day"])
def test_a_link_that_leads_nowhere_is_named(tmp_path, put, link):
    put("one-day/x" if link == "training" else "training", 1)
    (tmp_path / link).symlink_to(tmp_path / "unmounted")
    with pytest.raises(InputError, match=rf"{tmp_path / link} .*(does not exist|No such file)"):
        list_scenes(tmp_path, "training")


def test_a_scene_whose_link_leads_nowhere_is_left_to_inspection(tmp_path, put):
    """So that it is named with the other unusable scenes, or skipped as one."""
    scene = put("training", 1)
    scene.unlink()
    scene.symlink_to("unmounted")
    assert list_scenes(tmp_path, "training") == [scene]
    with pytest.raises(SceneError, match=f"{scene.name}: the file does not exist"):
        inspect_scene(scene)


def test_a_folder_that_cannot_be_read_is_named(tmp_path, monkeypatch):
    def refused(path):
        raise PermissionError(errno.EACCES, "Permission denied", path)

    monkeypatch.setattr(os, "scandir", refused)  # root may read every folder
    with pytest.raises(InputError, match=rf"folder {tmp_path} cannot be read \(Permission denied"):
        list(search_scenes([tmp_path], ["*"]))


@pytest.mark.parametrize("other", ["one-day", "training/copy"])
def test_a_scene_that_is_there_twice_is_refused_by_name(tmp_path, put, other):
    first, second = put("training", 2), put(other, 2)
    put("training", 1)
    with pytest.raises(InputError) as caught:
        list_scenes(tmp_path, "training")
    message = str(caught.value)
    assert message.startswith(f"{product_name(2)} is in ")
    assert str(first.parent) in message
    assert str(second.parent) in message
    put("training", 3)
    put(other, 3)
    with pytest.raises(InputError, match=r"\(so are 1 more\)"):
        list_scenes(tmp_path, "training")
