"""Verification of a file by its ETag, recomputed from the bytes; and its SHA-256.

The ETag of an object uploaded in one piece is the MD5 of its bytes. That of a multipart upload of
N parts is the MD5 of the parts' MD5s, then '-N'. The part size is not recorded in it; it is found
by trying those of common upload tools, then by asking the server.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Callable, Iterator, Sequence

SINGLE_ETAG = re.compile(r"[0-9a-f]{32}")
MULTIPART_ETAG = re.compile(r"[0-9a-f]{32}-([1-9][0-9]{0,4})")
MIB = 2**20
# Most common first: 8 (aws), 15 (s3cmd), 50 (s5cmd).
COMMON_PART_SIZES = tuple(
    count * MIB for count in (8, 16, 15, 5, 50, 64, 100, 32, 128, 10, 20, 25, 200, 250, 256, 512)
) + tuple(count * 10**6 for count in (5, 8, 10, 16, 50, 64, 100))
READ_BYTES = MIB


class EtagVerifier:
    """Compares files with ETags; remembers the part sizes that have matched."""

    def __init__(self) -> None:
        self._matched_part_sizes: set[int] = set()

    def verify(
        self, descriptor: int, size: int, etag: str, ask_part_size: Callable[[], int | None]
    ) -> tuple[str, bool | None]:
        """SHA-256 of an open file of `size` bytes, and whether its ETag is `etag`.

        None instead of a bool: the ETag cannot be recomputed, since it is no MD5 or the part size
        is unknown. `ask_part_size` returns the size of the object's first part, or None.
        """
        multipart = MULTIPART_ETAG.fullmatch(etag)
        if multipart is None:
            sha256, computed = sha256_and_etag(descriptor, size)
            return sha256, computed == etag if SINGLE_ETAG.fullmatch(etag) else None
        part_count = int(multipart[1])
        candidates = self._candidate_part_sizes(size, part_count)
        for part_size in candidates:
            sha256, computed = sha256_and_etag(descriptor, size, part_size)
            if computed == etag:
                self._matched_part_sizes.add(part_size)
                return sha256, True
        if not self._matched_part_sizes.isdisjoint(candidates):
            return sha256, False
        part_size = ask_part_size() or 0
        if (
            part_size not in candidates
            and _is_part_size(part_size, size, part_count)
            and sha256_and_etag(descriptor, size, part_size)[1] == etag
        ):
            self._matched_part_sizes.add(part_size)
            return sha256, True
        return sha256, None

    def _candidate_part_sizes(self, size: int, part_count: int) -> list[int]:
        """Part sizes that divide `size` bytes into `part_count` parts, the likeliest first."""
        smallest = max(1, -(-size // part_count))
        next_mib = -(-smallest // MIB) * MIB
        guesses = [*self._matched_part_sizes, *COMMON_PART_SIZES, next_mib, smallest]
        fitting = [guess for guess in guesses if _is_part_size(guess, size, part_count)]
        return list(dict.fromkeys(fitting)) or [smallest]


def sha256_and_etag(descriptor: int, size: int, part_size: int | None = None) -> tuple[str, str]:
    """SHA-256 and ETag of the first `size` bytes of an open file.

    The ETag is that of a multipart upload with parts of `part_size` bytes, or of an upload in one
    piece if that is None.

    Raises:
        OSError: the file cannot be read.
    """
    sha256 = hashlib.sha256()
    part_digests = []
    step = part_size or max(size, 1)
    for start in range(0, max(size, 1), step):
        md5 = hashlib.md5(usedforsecurity=False)
        for block in _read_blocks(descriptor, start, min(start + step, size)):
            sha256.update(block)
            md5.update(block)
        part_digests.append(md5.digest())
    etag = part_digests[0].hex() if part_size is None else multipart_etag(part_digests)
    return sha256.hexdigest(), etag


def multipart_etag(part_digests: Sequence[bytes]) -> str:
    """ETag of a multipart upload from the MD5 digests of its parts."""
    digest = hashlib.md5(b"".join(part_digests), usedforsecurity=False).hexdigest()
    return f"{digest}-{len(part_digests)}"


def _read_blocks(descriptor: int, start: int, end: int) -> Iterator[memoryview]:
    buffer = memoryview(bytearray(min(READ_BYTES, end - start)))
    while start < end:
        count = os.preadv(descriptor, [buffer[: end - start]], start)
        if count == 0:
            return
        yield buffer[:count]
        start += count


def _is_part_size(part_size: int, size: int, part_count: int) -> bool:
    return part_size > 0 and max(1, -(-size // part_size)) == part_count
