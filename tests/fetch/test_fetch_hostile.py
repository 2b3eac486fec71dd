"""Keys and destinations that mean harm: nothing is written outside the destination."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from cloudmask.errors import InputError
from cloudmask.fetch.destination import Destination
from tests.fetch.scene_bucket import PREFIX, files_below, name, scene
from tests.fetch.tiny_s3 import TinyS3

Fetch = Callable[..., int]


UNSAFE_PATHS = {
    "training/../../../outside/S3A_1.hdf": "'..' folder",
    "../S3A_1.hdf": "'..' folder",
    "training/./S3A_1.hdf": "'..' folder",
    "training//S3A_1.hdf": "'..' folder",
    "/outside/S3A_1.hdf": "absolute",
    "training/S3A_1\0.hdf": "control character",
    "training/S3A_\x1b[2J.hdf": "control character",
    "training\\..\\..\\S3A_1.hdf": "backslash",
    "training/S3A_1.hdf/": "slash",
    f"training/S3A_{'x' * 990}.hdf": "longer than 240",
}


def test_unsafe_keys_are_refused_and_named_and_the_others_come(
    hostile: TinyS3, fetch_hostile: Fetch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for path in UNSAFE_PATHS:
        hostile.put(f"{PREFIX}/{path}", scene(0))
    hostile.put(f"{PREFIX}/{name(1)}", scene(1))
    assert fetch_hostile() == 4
    assert files_below(tmp_path) == {"dest/manifest.json", f"dest/{name(1)}"}
    failed = [
        line.removeprefix("failed: ")
        for line in capsys.readouterr().out.splitlines()
        if line.startswith("failed: ")
    ]
    assert len(failed) == len(UNSAFE_PATHS)
    for path, reason in UNSAFE_PATHS.items():
        shown = path if path.isprintable() else ascii(path)[1:-1]
        (line,) = (line for line in failed if line.startswith(f"{shown}: "))
        assert reason in line
        assert line.isprintable()


def test_deep_keys_and_odd_characters_arrive(
    hostile: TinyS3, fetch_hostile: Fetch, tmp_path: Path
) -> None:
    deep = "/".join(["training", *["d" * 120] * 7, "S3A_1.hdf"])
    odd = "training/S3A_ä + %2e%2e?#&'\".hdf"
    for path in (deep, odd):
        hostile.put(f"{PREFIX}/{path}", scene(0))
    assert fetch_hostile() == 0
    assert files_below(tmp_path / "dest") == {"manifest.json", deep, odd}


def test_of_names_that_differ_only_in_case_one_is_taken(
    hostile: TinyS3, fetch_hostile: Fetch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    hostile.put(f"{PREFIX}/training/S3A_ABC.hdf", scene(0))
    hostile.put(f"{PREFIX}/training/S3A_abc.hdf", scene(1))
    assert fetch_hostile() == 4
    assert (tmp_path / "dest/training/S3A_ABC.hdf").read_bytes() == scene(0)
    assert "failed: training/S3A_abc.hdf: its name differs only in case" in capsys.readouterr().out


def test_a_scene_and_a_folder_of_the_same_name_do_no_harm(
    hostile: TinyS3, fetch_hostile: Fetch, tmp_path: Path
) -> None:
    hostile.put(f"{PREFIX}/training/S3A_1.hdf", scene(0))
    hostile.put(f"{PREFIX}/training/S3A_1.hdf/S3A_2.hdf", scene(1))
    assert fetch_hostile() == 4
    assert files_below(tmp_path / "dest") >= {"manifest.json"}


@pytest.mark.parametrize("kind", ["folder", "file", "part", "manifest", "quarantine"])
def test_links_that_lead_outside_are_not_followed(
    hostile: TinyS3, fetch_hostile: Fetch, tmp_path: Path, kind: str
) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "file").write_bytes(b"mine")
    dest = tmp_path / "dest"
    dest.mkdir()
    hostile.put(f"{PREFIX}/{name(0)}", scene(0, 300_000))
    if kind in ("folder", "quarantine"):
        (dest / ("training" if kind == "folder" else kind)).symlink_to(outside)
    else:
        (dest / "training").mkdir()
        place = {"file": name(0), "part": f"{name(0)}.part", "manifest": "manifest.json"}[kind]
        (dest / place).symlink_to(outside / "file")
    if kind == "quarantine":
        (dest / "training").mkdir()
        (dest / name(0)).write_bytes(b"corrupt")
    if kind == "manifest":
        with pytest.raises(InputError, match=r"manifest\.json"):
            fetch_hostile()
    else:
        # A link in place of a part is simply replaced, as a stale part would be.
        assert fetch_hostile() == (0 if kind == "part" else 4)
    assert (outside / "file").read_bytes() == b"mine"
    assert files_below(outside) == {"file"}


def test_hard_links_and_pipes_in_the_way_are_not_written_to(
    hostile: TinyS3, fetch_hostile: Fetch, tmp_path: Path
) -> None:
    (tmp_path / "mine").write_bytes(b"mine")
    training = tmp_path / "dest/training"
    training.mkdir(parents=True)
    os.link(tmp_path / "mine", tmp_path / f"dest/{name(0)}.part")
    os.mkfifo(tmp_path / f"dest/{name(1)}.part")
    os.mkfifo(tmp_path / f"dest/{name(2)}")
    for index in range(3):
        hostile.put(f"{PREFIX}/{name(index)}", scene(index))
    assert fetch_hostile() == 4
    assert (tmp_path / "mine").read_bytes() == b"mine"
    assert (tmp_path / f"dest/{name(0)}").read_bytes() == scene(0)
    assert (tmp_path / f"dest/{name(1)}").read_bytes() == scene(1)


@pytest.mark.parametrize("said", [10, 10_000])
def test_a_listing_that_lies_about_a_size_is_found_out(
    hostile: TinyS3,
    fetch_hostile: Fetch,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    said: int,
) -> None:
    hostile.put(f"{PREFIX}/{name(0)}", scene(0))
    hostile.listed_sizes[f"{PREFIX}/{name(0)}"] = said
    assert fetch_hostile() == 4
    assert not (tmp_path / "dest" / name(0)).exists()
    assert f"the listing says {said} bytes, the object has {len(scene(0))}" in (
        capsys.readouterr().out
    )


def test_more_than_the_disk_holds_is_refused_with_both_numbers(
    hostile: TinyS3, fetch_hostile: Fetch, tmp_path: Path
) -> None:
    hostile.put(f"{PREFIX}/{name(0)}", scene(0))
    hostile.listed_sizes[f"{PREFIX}/{name(0)}"] = 10**17
    with pytest.raises(InputError, match=rf"{10**17} bytes are to be fetched but \d+ bytes"):
        fetch_hostile()
    with pytest.raises(InputError, match=f"{10**17}"):
        fetch_hostile(dry_run=True)


def test_two_fetches_into_one_folder_exclude_each_other(
    hostile: TinyS3, fetch_hostile: Fetch, tmp_path: Path
) -> None:
    hostile.put(f"{PREFIX}/{name(0)}", scene(0))
    assert fetch_hostile() == 0
    other = Destination(tmp_path / "dest", create=False)
    other.lock()
    with pytest.raises(InputError, match="another fetch"):
        fetch_hostile()
    other.close()
    assert fetch_hostile() == 0
