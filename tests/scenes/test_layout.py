"""Where the scenes of a data set are found."""

import pytest

from cloudmask.errors import InputError
from cloudmask.scenes.layout import list_scenes
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
