"""Which objects of a listing are fetched, in which order, and which names are refused."""

import pytest

from cloudmask.errors import InputError
from cloudmask.fetch.selection import ListedObject, SceneObject, Selection, select_scenes

ETAG = "e" * 32


def select(
    *paths: str,
    prefix: str = "en/ds1",
    subset: str | None = None,
    include: str | None = None,
    limit: int | None = None,
) -> Selection:
    objects = [
        ListedObject(f"{prefix}/{path}", size, ETAG) for size, path in enumerate(paths, start=10)
    ]
    return select_scenes(objects, prefix, subset, include, limit)


def paths(selection: Selection) -> list[str]:
    return [scene.path for scene in selection.scenes]


def test_a_scene_keeps_key_size_and_etag() -> None:
    assert select("training/a/S3A_1.hdf").scenes == [
        SceneObject("en/ds1/training/a/S3A_1.hdf", "training/a/S3A_1.hdf", 10, ETAG)
    ]


def test_training_comes_first_and_each_subset_is_sorted_by_path() -> None:
    selection = select(
        "inference/S3A_1.hdf", "training/S3A_9.hdf", "training/S3A_10.hdf", "training/A/S3B_1.hdf"
    )
    assert paths(selection) == [
        "training/A/S3B_1.hdf",
        "training/S3A_10.hdf",
        "training/S3A_9.hdf",
        "inference/S3A_1.hdf",
    ]


@pytest.mark.parametrize(
    "path",
    [
        "training/README.txt",
        "training/S3A_1.hdf.md5",
        "training/S3A_1.h5",
        "training/S3C_1.hdf",
        "training/s3a_1.hdf",
        "training/x_S3A_1.hdf",
        "S3A_1.hdf",
        "other/S3A_1.hdf",
        "Training/S3A_1.hdf",
    ],
)
def test_objects_that_are_no_scenes_of_a_subset_are_ignored(path: str) -> None:
    selection = select("training/S3A_1.hdf", path)
    assert paths(selection) == ["training/S3A_1.hdf"]
    assert selection.ignored == 1
    assert selection.refused == {}


def test_keys_outside_the_prefix_are_ignored() -> None:
    objects = [
        ListedObject("en/ds1/training/S3A_1.hdf", 1, ETAG),
        ListedObject("en/ds10/training/S3A_2.hdf", 1, ETAG),
        ListedObject("training/S3A_3.hdf", 1, ETAG),
    ]
    selection = select_scenes(objects, "en/ds1", None, None, None)
    assert paths(selection) == ["training/S3A_1.hdf"]
    assert selection.ignored == 2


@pytest.mark.parametrize(
    ("subset", "expected"),
    [
        ("training", ["training/S3A_1.hdf"]),
        ("inference", ["ssts/day/S3A_2.hdf"]),
        (None, ["training/S3A_1.hdf", "ssts/day/S3A_2.hdf"]),
    ],
)
def test_a_subset_is_selected_under_either_of_its_folder_names(
    subset: str | None, expected: list[str]
) -> None:
    assert paths(select("ssts/day/S3A_2.hdf", "training/S3A_1.hdf", subset=subset)) == expected


@pytest.mark.parametrize(
    ("subset", "folders", "include"),
    [
        ("training", "one-day/, training/", "training/*"),
        ("inference", "inference/, ssts/", "inference/*"),
    ],
)
def test_a_subset_under_both_folder_names_is_refused(
    subset: str, folders: str, include: str
) -> None:
    scenes = [f"{folder.strip('/')}/S3A_1.hdf" for folder in folders.split(", ")]
    with pytest.raises(InputError) as raised:
        select(*scenes)
    assert str(raised.value) == (
        f"en/ds1/ holds {subset} scenes in both {folders}; choose with --include '{include}'"
    )
    assert len(paths(select(*scenes, include=include))) == 1


@pytest.mark.parametrize(
    ("include", "expected"),
    [
        ("*_2.hdf", ["training/S3A_2.hdf", "inference/S3A_2.hdf"]),
        ("S3A_2.hdf", ["training/S3A_2.hdf", "inference/S3A_2.hdf"]),
        ("training/*", ["training/S3A_1.hdf", "training/S3A_2.hdf"]),
        ("S3A_[!1].hdf", ["training/S3A_2.hdf", "inference/S3A_2.hdf"]),
        ("S3A_?.hdf", ["training/S3A_1.hdf", "training/S3A_2.hdf", "inference/S3A_2.hdf"]),
    ],
)
def test_a_pattern_matches_the_name_or_the_path(include: str, expected: list[str]) -> None:
    scenes = ("inference/S3A_2.hdf", "training/S3A_1.hdf", "training/S3A_2.hdf")
    assert paths(select(*scenes, include=include)) == expected


def test_a_pattern_is_case_sensitive() -> None:
    with pytest.raises(InputError, match="none that was asked for"):
        select("training/S3A_1.hdf", include="s3a*")


@pytest.mark.parametrize(("limit", "count"), [(1, 1), (2, 2), (3, 3), (4, 3), (None, 3)])
def test_the_limit_counts_training_scenes_first(limit: int | None, count: int) -> None:
    scenes = ("inference/S3A_3.hdf", "training/S3A_1.hdf", "training/S3A_2.hdf")
    expected = ["training/S3A_1.hdf", "training/S3A_2.hdf", "inference/S3A_3.hdf"]
    assert paths(select(*scenes, limit=limit)) == expected[:count]


def test_nothing_that_was_asked_for_is_an_input_error() -> None:
    with pytest.raises(InputError) as raised:
        select("training/S3A_1.hdf", "other/README", include="S3B*")
    assert str(raised.value) == (
        "en/ds1/ holds 2 objects in other/, training/, but none that was asked for; check "
        "--subset and --include, or give a --prefix with scenes in inference/, training/"
    )


@pytest.mark.parametrize(
    ("path", "reason"),
    [
        ("training/../../../outside/S3A_1.hdf", "'..' folder"),
        ("training/..", None),
        ("../S3A_1.hdf", "'..' folder"),
        ("training/./S3A_1.hdf", "'..' folder"),
        ("training//S3A_1.hdf", "'..' folder"),
        ("/outside/S3A_1.hdf", "absolute path"),
        ("training/S3A_1\0.hdf", "control character"),
        ("training/S3A_\x1b[2J.hdf", "control character"),
        ("training/S3A_\x7f.hdf", "control character"),
        ("training/S3A_\ud800.hdf", "control character"),
        ("training\\..\\..\\S3A_1.hdf", "backslash"),
        ("training/S3A_1.hdf/", "ends with a slash"),
        (f"training/S3A_{'x' * 233}.hdf", "longer than 240 bytes"),
        (f"training/{'ä' * 121}/S3A_1.hdf", "longer than 240 bytes"),
    ],
)
def test_an_unsafe_path_is_refused_with_the_reason(path: str, reason: str | None) -> None:
    selection = select("training/S3A_1.hdf", path)
    assert paths(selection) == ["training/S3A_1.hdf"]
    if reason is None:
        assert selection.refused == {}
        return
    ((shown, given),) = selection.refused.items()
    assert reason in given
    assert shown.isprintable()
    assert shown.isascii()


@pytest.mark.parametrize(
    "path",
    [
        f"training/S3A_{'x' * 232}.hdf",
        f"training/{'ä' * 120}/S3A_1.hdf",
        "training/...a/S3A_1.hdf",
        "training/S3A_ä + %2e%2e?#&'\".hdf",
    ],
)
def test_odd_but_safe_paths_are_selected(path: str) -> None:
    assert paths(select(path)) == [path]


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("training/S3A_ABC.hdf", "training/S3A_abc.hdf"),
        ("training/A/S3A_1.hdf", "training/a/S3A_1.hdf"),
        ("training/S3A_A\u0308.hdf", "training/S3A_\u00e4.hdf"),
        ("training/S3A_STRASSE.hdf", "training/S3A_stra\u00dfe.hdf"),
    ],
)
def test_of_paths_that_differ_only_in_case_the_first_is_selected(first: str, second: str) -> None:
    selection = select(second, first)
    assert paths(selection) == [first]
    ((shown, reason),) = selection.refused.items()
    assert shown == ascii(second)[1:-1]
    assert "differs only in case" in reason
