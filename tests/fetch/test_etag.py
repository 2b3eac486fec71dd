"""ETags recomputed from the bytes of a file, single and multipart."""

import hashlib
import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from cloudmask.fetch import etag as module
from cloudmask.fetch.etag import EtagVerifier, multipart_etag, sha256_and_etag

MIB = 2**20
CONTENT = np.random.default_rng(1).bytes(2 * MIB + 1000)


@pytest.fixture
def descriptor(tmp_path: Path) -> Iterator[int]:
    """An open file of CONTENT."""
    path = tmp_path / "file"
    path.write_bytes(CONTENT)
    opened = os.open(path, os.O_RDONLY)
    yield opened
    os.close(opened)


def md5(content: bytes) -> str:
    return hashlib.md5(content, usedforsecurity=False).hexdigest()


def etag_of_parts(*parts: bytes) -> str:
    digests = b"".join(bytes.fromhex(md5(part)) for part in parts)
    return f"{md5(digests)}-{len(parts)}"


def not_asked() -> int | None:
    raise AssertionError("the server must not be asked")


def test_the_etag_of_an_upload_in_one_piece_is_the_md5(descriptor: int) -> None:
    expected = (hashlib.sha256(CONTENT).hexdigest(), md5(CONTENT))
    assert sha256_and_etag(descriptor, len(CONTENT)) == expected


def test_known_etags_of_an_empty_object() -> None:
    with Path("/dev/null").open("rb") as empty:
        sha256, etag = sha256_and_etag(empty.fileno(), 0)
        _, etag_of_one_part = sha256_and_etag(empty.fileno(), 0, 8 * MIB)
    assert sha256 == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
    assert etag == "d41d8cd98f00b204e9800998ecf8427e"
    assert etag_of_one_part == "59adb24ef3cdbe0297f05b395827453f-1"


@pytest.mark.parametrize("part_size", [1000, MIB - 1, MIB, MIB + 1, len(CONTENT) - 1])
def test_a_multipart_etag_is_the_md5_of_the_parts_md5s(descriptor: int, part_size: int) -> None:
    parts = [CONTENT[start : start + part_size] for start in range(0, len(CONTENT), part_size)]
    sha256, etag = sha256_and_etag(descriptor, len(CONTENT), part_size)
    assert etag == etag_of_parts(*parts)
    assert sha256 == hashlib.sha256(CONTENT).hexdigest()
    assert multipart_etag([bytes.fromhex(md5(part)) for part in parts]) == etag


def test_parts_that_divide_the_size_have_no_empty_part_behind_them(descriptor: int) -> None:
    _, etag = sha256_and_etag(descriptor, 2 * MIB, MIB)
    assert etag == etag_of_parts(CONTENT[:MIB], CONTENT[MIB : 2 * MIB])


@pytest.mark.parametrize(
    ("etag", "expected"),
    [
        (md5(CONTENT), True),
        (md5(CONTENT[:-1]), False),
        ("an-opaque-etag", None),
        (md5(CONTENT)[:-1], None),
        (md5(CONTENT).upper(), None),
        ("", None),
    ],
)
def test_an_etag_of_one_piece_matches_or_not_and_another_is_unknown(
    descriptor: int, etag: str, expected: bool | None
) -> None:
    sha256, is_match = EtagVerifier().verify(descriptor, len(CONTENT), etag, not_asked)
    assert is_match is expected
    assert sha256 == hashlib.sha256(CONTENT).hexdigest()


@pytest.mark.parametrize(
    "part_size",
    [count * MIB for count in (5, 8, 10, 15, 16, 20, 25, 32, 50, 64, 100, 128, 200, 250, 256, 512)]
    + [count * 10**6 for count in (5, 8, 10, 16, 50, 64, 100)],
)
def test_part_sizes_of_upload_tools_are_found_without_asking(
    monkeypatch: pytest.MonkeyPatch, part_size: int
) -> None:
    def compute(descriptor: int, size: int, tried: int | None = None) -> tuple[str, str]:
        return "sha", f"{'a' * 32}-3" if tried == part_size else "another"

    monkeypatch.setattr(module, "sha256_and_etag", compute)
    size = 2 * part_size + 1
    assert EtagVerifier().verify(-1, size, f"{'a' * 32}-3", not_asked) == ("sha", True)


def test_a_part_size_that_was_found_is_remembered(descriptor: int) -> None:
    verifier = EtagVerifier()
    size, wrong = len(CONTENT), f"{'0' * 32}-3"
    assert verifier.verify(descriptor, size, wrong, lambda: None)[1] is None
    right = etag_of_parts(CONTENT[:MIB], CONTENT[MIB : 2 * MIB], CONTENT[2 * MIB :])
    assert verifier.verify(descriptor, size, right, not_asked)[1] is True
    assert verifier.verify(descriptor, size, wrong, not_asked)[1] is False


@pytest.mark.parametrize(("part_size", "size"), [(MIB, 2 * MIB + 1000), (500_000, 2_000_000)])
def test_parts_of_whole_mib_and_equal_parts_are_found_without_asking(
    descriptor: int, part_size: int, size: int
) -> None:
    content = CONTENT[:size]
    parts = [content[start : start + part_size] for start in range(0, size, part_size)]
    assert EtagVerifier().verify(descriptor, size, etag_of_parts(*parts), not_asked)[1] is True


def test_a_part_size_from_the_server_is_remembered(descriptor: int) -> None:
    part_size = 800_000
    verifier = EtagVerifier()
    parts = [CONTENT[start : start + part_size] for start in range(0, 2_000_000, part_size)]
    parts[-1] = parts[-1][: 2_000_000 - 2 * part_size]
    etag = etag_of_parts(*parts)
    assert verifier.verify(descriptor, 2_000_000, etag, lambda: None)[1] is None
    assert verifier.verify(descriptor, 2_000_000, etag, lambda: 900_000)[1] is None
    assert verifier.verify(descriptor, 2_000_000, etag, lambda: 100)[1] is None
    assert verifier.verify(descriptor, 2_000_000, etag, lambda: 0)[1] is None
    assert verifier.verify(descriptor, 2_000_000, etag, lambda: part_size)[1] is True
    assert verifier.verify(descriptor, 2_000_000, etag, not_asked)[1] is True
    wrong = etag_of_parts(*parts[:-1], b"other")
    assert verifier.verify(descriptor, 2_000_000, wrong, not_asked)[1] is False


def test_a_part_size_that_makes_another_number_of_parts_is_not_tried(descriptor: int) -> None:
    etag = etag_of_parts(CONTENT[:1_000_000], CONTENT[1_000_000:2_000_000])
    assert EtagVerifier().verify(descriptor, 2_000_000, etag, not_asked)[1] is True
    etag = f"{etag.partition('-')[0]}-3"
    assert EtagVerifier().verify(descriptor, 2_000_000, etag, lambda: 1_000_000)[1] is None
