"""What a user gets: the scenes asked for, a plan, a manifest, and nothing twice."""

import hashlib
import os
import signal
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest

from cloudmask.cli import main
from cloudmask.errors import InputError
from cloudmask.fetch.command import FetchOptions, fetch
from cloudmask.fetch.destination import Destination
from cloudmask.fetch.partial_file import PartialFile
from cloudmask.fetch.progress import format_bytes
from cloudmask.fetch.selection import SceneObject
from cloudmask.scenes.layout import list_scenes
from tests.fetch.scene_bucket import PREFIX, Bucket, files_below, manifest, name, scene


@pytest.fixture
def filled(bucket: Bucket) -> Bucket:
    """Three training scenes, two inference scenes, and an object that is no scene."""
    for index in range(3):
        bucket.put(name(index), scene(index))
    for index in (3, 4):
        bucket.put(f"inference/S3A_night_{index}.hdf", scene(index))
    bucket.put("README.txt", b"not a scene")
    return bucket


def test_everything_arrives_and_is_recorded(filled: Bucket, tmp_path: Path) -> None:
    assert filled.fetch(tmp_path) == 0
    assert [path.read_bytes() for path in list_scenes(tmp_path, "training")] == [
        scene(index) for index in range(3)
    ]
    assert len(list_scenes(tmp_path, "inference")) == 2
    assert len(files_below(tmp_path)) == 6
    entry = manifest(tmp_path)[name(1)]
    assert entry["sha256"] == hashlib.sha256(scene(1)).hexdigest()
    assert entry["size"] == len(scene(1))
    assert entry["checked_by"] == "etag"


def test_second_fetch_transfers_and_writes_nothing(filled: Bucket, tmp_path: Path) -> None:
    assert filled.fetch(tmp_path) == 0
    before = (len(filled.proxy.downloads), (tmp_path / "manifest.json").stat().st_mtime_ns)
    assert filled.fetch(tmp_path) == 0
    after = (len(filled.proxy.downloads), (tmp_path / "manifest.json").stat().st_mtime_ns)
    assert after == before


def test_a_lost_manifest_costs_no_transfer(filled: Bucket, tmp_path: Path) -> None:
    assert filled.fetch(tmp_path) == 0
    (tmp_path / "manifest.json").write_text('{"format": 1, "files": {')
    before = len(filled.proxy.downloads)
    assert filled.fetch(tmp_path) == 0
    assert len(filled.proxy.downloads) == before
    assert len(manifest(tmp_path)) == 5


def test_subset_include_and_limit_narrow_the_choice(filled: Bucket, tmp_path: Path) -> None:
    assert filled.fetch(tmp_path / "a", subset="inference") == 0
    assert set(manifest(tmp_path / "a")) == {f"inference/S3A_night_{index}.hdf" for index in (3, 4)}
    assert filled.fetch(tmp_path / "b", include="*_night_4*") == 0
    assert set(manifest(tmp_path / "b")) == {"inference/S3A_night_4.hdf"}
    assert filled.fetch(tmp_path / "c", limit=4) == 0
    assert set(manifest(tmp_path / "c")) == {
        *(name(index) for index in range(3)),
        "inference/S3A_night_3.hdf",
    }


def test_dry_run_says_what_it_would_do_and_writes_nothing(
    filled: Bucket, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert filled.fetch(tmp_path / "dest", dry_run=True) == 0
    assert not (tmp_path / "dest").exists()
    assert f"would fetch {name(2)}" in capsys.readouterr().out
    assert filled.proxy.downloads == []


def snapshot(folder: Path) -> dict[str, tuple[int, bytes]]:
    """Every file and folder, with its time and content."""
    return {
        str(path.relative_to(folder)): (
            path.stat().st_mtime_ns,
            path.read_bytes() if path.is_file() else b"",
        )
        for path in (folder, *folder.rglob("*"))
    }


def test_dry_run_leaves_a_destination_as_it_is(
    filled: Bucket, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert filled.fetch(tmp_path, subset="training", limit=2) == 0
    (tmp_path / name(0)).write_bytes(b"corrupt")
    (tmp_path / name(2)).write_bytes(scene(2))  # not in the manifest
    before = snapshot(tmp_path)
    transferred = len(filled.proxy.downloads)
    assert filled.fetch(tmp_path, dry_run=True) == 4
    assert snapshot(tmp_path) == before
    assert len(filled.proxy.downloads) == transferred
    said = capsys.readouterr().out
    assert f"failed: {name(0)}: its SHA-256" not in said
    assert f"failed: {name(0)}: it has 7 bytes instead of {len(scene(0))}\n" in said
    assert "fetch: 2 scenes present, 2 to fetch, 1 failed\n" in said
    assert said.count("would fetch inference/") == 2


def test_the_plan_names_what_is_to_come_and_the_free_disk(
    filled: Bucket,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert filled.fetch(tmp_path, subset="training", limit=2) == 0
    needed = sum(len(scene(index)) for index in (2, 3, 4))
    space = SimpleNamespace(f_bavail=needed, f_frsize=1)
    monkeypatch.setattr(os, "fstatvfs", lambda descriptor: space)
    capsys.readouterr()
    assert filled.fetch(tmp_path, dry_run=True) == 0
    assert (
        f"plan: 2 scenes present, 3 to fetch: {format_bytes(needed)} to transfer, "
        f"{format_bytes(needed)} free in {tmp_path}\n"
    ) in capsys.readouterr().out
    space.f_bavail = needed - 1
    for dry_run in (True, False):
        with pytest.raises(InputError) as raised:
            filled.fetch(tmp_path, dry_run=dry_run)
        assert str(raised.value) == (
            f"--dest {tmp_path}: {needed} bytes are to be fetched but {needed - 1} bytes are "
            "free; make room, or fetch less with --subset, --limit or --include"
        )
    assert len(manifest(tmp_path)) == 2
    space.f_bavail = needed
    assert filled.fetch(tmp_path) == 0


def test_bytes_of_an_earlier_run_need_no_room(
    bucket: Bucket,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    block = 2**18
    content = scene(0, 4 * block)
    bucket.put(name(0), content)
    destination = Destination(tmp_path, create=True)
    etag = hashlib.md5(content, usedforsecurity=False).hexdigest()
    partial_file = PartialFile(
        destination, SceneObject(f"{PREFIX}/{name(0)}", name(0), len(content), etag)
    )
    partial_file.write(partial_file.segments[0], content[:block])
    partial_file.write(partial_file.segments[0], content[block : 2 * block])
    partial_file.close()
    space = SimpleNamespace(f_bavail=len(content) - 2 * block, f_frsize=1)
    monkeypatch.setattr(os, "fstatvfs", lambda descriptor: space)
    assert bucket.fetch(tmp_path) == 0
    said = capsys.readouterr().out
    assert f", {format_bytes(2 * block)} from an earlier run\n" in said
    assert f"1 fetched ({format_bytes(len(content) - 2 * block)} in " in said
    assert bucket.proxy.downloads[0].first_byte == 2 * block
    assert (tmp_path / name(0)).read_bytes() == content


@pytest.fixture
def signals() -> Iterator[None]:
    """Restores the handlers that commands install."""
    numbers = (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1)
    handlers = [signal.getsignal(number) for number in numbers]
    yield
    for number, handler in zip(numbers, handlers, strict=True):
        signal.signal(number, handler)


@pytest.mark.usefixtures("signals")
def test_the_command_gives_its_options_and_exit_codes(filled: Bucket, tmp_path: Path) -> None:
    def exit_code(*flags: str) -> int:
        server = ("--endpoint", filled.proxy.endpoint, "--bucket", filled.name)
        return main(["fetch", "ds1", "--dest", str(tmp_path), *server, *flags])

    assert exit_code("--subset=training", "--limit=2", "--dry-run") == 0
    assert files_below(tmp_path) == set()
    assert exit_code("--subset=training", "--limit=2", "--workers=3") == 0
    assert exit_code("--limit=0") == 2
    filled.put("training/S3A_bad.hdf", b"not HDF5")
    assert exit_code("--include", "training/S3A_bad.hdf") == 4
    assert sorted(manifest(tmp_path)) == [name(0), name(1)]
    before = len(filled.proxy.downloads)
    (tmp_path / name(0)).write_bytes(b"corrupt")
    assert exit_code("--subset=training", "--limit=1", "--verify") == 0
    assert len(filled.proxy.downloads) == before + 1


def test_verify_rereads_and_fetches_a_corrupt_file_again(
    filled: Bucket, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert filled.fetch(tmp_path) == 0
    path = tmp_path / name(1)
    times = (path.stat().st_atime_ns, path.stat().st_mtime_ns)
    content = bytearray(path.read_bytes())
    content[-10] ^= 1
    path.write_bytes(content)
    os.utime(path, ns=times)
    assert filled.fetch(tmp_path, verify=True, dry_run=True) == 4
    assert path.read_bytes() == content
    assert filled.fetch(tmp_path) == 0, "without --verify the manifest is trusted"
    before = len(filled.proxy.downloads)
    assert filled.fetch(tmp_path, verify=True) == 0
    assert len(filled.proxy.downloads) == before + 1
    assert path.read_bytes() == scene(1)
    (kept,) = (tmp_path / "quarantine").rglob("*.hdf.*")
    assert kept.read_bytes() == content
    assert f"{name(1)}: corrupt" in capsys.readouterr().out


def test_newer_content_in_the_bucket_replaces_the_old(filled: Bucket, tmp_path: Path) -> None:
    assert filled.fetch(tmp_path) == 0
    filled.put(name(0), scene(99))
    assert filled.fetch(tmp_path) == 0
    assert (tmp_path / name(0)).read_bytes() == scene(99)
    assert not (tmp_path / "quarantine").exists()


def test_a_file_of_somebody_else_is_kept_aside(filled: Bucket, tmp_path: Path) -> None:
    (tmp_path / "training").mkdir()
    (tmp_path / name(0)).write_bytes(b"precious")
    assert filled.fetch(tmp_path) == 0
    assert (tmp_path / name(0)).read_bytes() == scene(0)
    (kept,) = (tmp_path / "quarantine" / "training").iterdir()
    assert kept.read_bytes() == b"precious"


def test_another_known_prefix_with_the_same_layout_is_taken_aloud(
    bucket: Bucket, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bucket.put(name(0), scene(0), prefix="en/cloud_slstr_ds1")
    assert bucket.fetch(tmp_path) == 0
    assert "es/cloud_slstr_ds1/ is empty; taking en/cloud_slstr_ds1/" in capsys.readouterr().out


def test_another_layout_is_named_but_not_taken(bucket: Bucket, tmp_path: Path) -> None:
    for path in ("one-day/S3A_1.hdf", "ssts/day/S3A_2.hdf"):
        bucket.put(path, scene(0), prefix="en/cloud_slstr_ds1")
    with pytest.raises(InputError, match=r"en/cloud_slstr_ds1/ holds one-day/, ssts/.*--prefix"):
        bucket.fetch(tmp_path)
    assert bucket.fetch(tmp_path, prefix="en/cloud_slstr_ds1") == 0
    assert len(list_scenes(tmp_path, "inference")) == 1


def test_nothing_anywhere_is_said(bucket: Bucket, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"es/cloud_slstr_ds1/ is empty .* en/cloud_slstr_ds1/"):
        bucket.fetch(tmp_path)


def test_a_subset_under_both_names_is_refused(bucket: Bucket, tmp_path: Path) -> None:
    bucket.put("training/S3A_1.hdf", scene(1))
    bucket.put("one-day/S3A_1.hdf", scene(1))
    with pytest.raises(InputError, match="--include 'training"):
        bucket.fetch(tmp_path)


def test_a_missing_bucket_is_an_input_error(bucket: Bucket, tmp_path: Path) -> None:
    bucket.name = "no-such-bucket"
    with pytest.raises(InputError, match="NoSuchBucket"):
        bucket.fetch(tmp_path)


def test_credentials_and_profiles_around_are_ignored(
    filled: Bucket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIAIOSFODNN7EXAMPLE")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    monkeypatch.setenv("AWS_PROFILE", "does-not-exist")
    monkeypatch.setenv("AWS_ENDPOINT_URL", "https://elsewhere.invalid")
    monkeypatch.setenv("HTTP_PROXY", "http://elsewhere.invalid:3128")
    assert filled.fetch(tmp_path) == 0
    heads = " ".join(request.head.lower() for request in filled.proxy.requests)
    assert "authorization" not in heads
    assert "akia" not in heads


def test_one_folder_holds_one_data_set(filled: Bucket, tmp_path: Path) -> None:
    assert filled.fetch(tmp_path, limit=1) == 0
    options = FetchOptions(
        "ds2", tmp_path, endpoint=filled.proxy.endpoint, bucket=filled.name, prefix=PREFIX
    )
    with pytest.raises(InputError, match="holds 'ds1', not ds2"):
        fetch(options)


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("limit", 0),
        ("workers", 0),
        ("prefix", "/"),
        ("bucket", "arn:aws:s3:::elsewhere"),
        ("endpoint", "http://s3.example.org"),
        ("endpoint", "ftp://127.0.0.1"),
        ("endpoint", "https://user:secret@s3.example.org"),
        ("endpoint", "https://"),
    ],
)
def test_options_without_sense_are_refused(option: str, value: object, tmp_path: Path) -> None:
    options = FetchOptions("ds1", tmp_path / "dest", **{option: value})  # type: ignore[arg-type]
    with pytest.raises(InputError, match=f"--{option}"):
        fetch(options)
    assert not (tmp_path / "dest").exists()
