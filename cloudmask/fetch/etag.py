"""Is this file the object? SHA-256 for the record, and the ETag recomputed from the bytes.

The ETag of an object uploaded in one go is the MD5 of its bytes. That of one uploaded in N parts
is the MD5 of the parts' MD5s, then '-N'; the size of the parts is not part of it and is found by
trying what upload tools use, then by asking the server.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum

SINGLE_ETAG = re.compile(r"[0-9a-f]{32}")
MULTIPART_ETAG = re.compile(r"[0-9a-f]{32}-([1-9][0-9]{0,4})")
MIB = 2**20
# Part sizes of the usual upload tools, the commonest first (8: aws; 15: s3cmd; 50: s5cmd).
USUAL_PART_SIZES = tuple(
    count * MIB for count in (8, 16, 15, 5, 50, 64, 100, 32, 128, 10, 20, 25, 200, 250, 256, 512)
) + tuple(count * 10**6 for count in (5, 8, 10, 16, 50, 64, 100))
READ_BYTES = MIB


class Verdict(Enum):
    """What an ETag says of a file."""

    MATCH = "match"
    MISMATCH = "mismatch"
    UNKNOWN = "unknown"
    """The ETag is of a kind, or of a part size, that cannot be recomputed."""


@dataclass
class EtagCheck:
    """Compares files with ETags; remembers the part sizes that a data set turned out to use."""

    known_part_sizes: list[int] = field(default_factory=list)

    def examine(
        self,
        descriptor: int,
        size: int,
        etag: str,
        ask_part_size: Callable[[], int | None],
    ) -> tuple[str, Verdict]:
        """SHA-256 of an open file of `size` bytes, and whether its ETag is `etag`."""
        multipart = MULTIPART_ETAG.fullmatch(etag)
        if multipart is None:
            sha256, found = read_digests(descriptor, size, None)
            if SINGLE_ETAG.fullmatch(etag) is None:
                return sha256, Verdict.UNKNOWN
            return sha256, Verdict.MATCH if found == etag else Verdict.MISMATCH
        parts = int(multipart[1])
        candidates = self._part_sizes(size, parts)
        sha256, found = read_digests(descriptor, size, candidates[0])
        if found == etag:
            return sha256, self._matched(candidates[0])
        for candidate in candidates[1:]:
            if read_digests(descriptor, size, candidate)[1] == etag:
                return sha256, self._matched(candidate)
        if not set(self.known_part_sizes).isdisjoint(candidates):
            return sha256, Verdict.MISMATCH
        told = ask_part_size()
        if told is None or told in candidates or not _gives(told, size, parts):
            return sha256, Verdict.UNKNOWN
        if read_digests(descriptor, size, told)[1] == etag:
            return sha256, self._matched(told)
        return sha256, Verdict.UNKNOWN

    def _matched(self, part_size: int) -> Verdict:
        if part_size not in self.known_part_sizes:
            self.known_part_sizes.append(part_size)
        return Verdict.MATCH

    def _part_sizes(self, size: int, parts: int) -> list[int]:
        """Part sizes that cut `size` bytes into `parts`, the likeliest first; at least one."""
        smallest = max(1, -(-size // parts))
        guesses = [*self.known_part_sizes, *USUAL_PART_SIZES, -(-smallest // MIB) * MIB, smallest]
        fitting = [guess for guess in dict.fromkeys(guesses) if _gives(guess, size, parts)]
        return fitting or [smallest]


def read_digests(descriptor: int, size: int, part_size: int | None) -> tuple[str, str]:
    """SHA-256 and ETag of the first `size` bytes of a file; one MD5 if `part_size` is None.

    Raises:
        OSError: the file cannot be read.
    """
    whole = hashlib.sha256()
    parts: list[bytes] = []
    part = hashlib.md5(usedforsecurity=False)
    room = part_size or size + 1
    position = 0
    buffer = memoryview(bytearray(min(READ_BYTES, max(size, 1))))
    while position < size:
        count = os.preadv(descriptor, [buffer[: min(room, size - position)]], position)
        if count == 0:
            break
        whole.update(buffer[:count])
        part.update(buffer[:count])
        position += count
        room -= count
        if room == 0:
            parts.append(part.digest())
            part = hashlib.md5(usedforsecurity=False)
            room = part_size or 0
    if part_size is None:
        return whole.hexdigest(), part.hexdigest()
    if position % part_size or not parts:
        parts.append(part.digest())
    combined = hashlib.md5(b"".join(parts), usedforsecurity=False)
    return whole.hexdigest(), f"{combined.hexdigest()}-{len(parts)}"


def _gives(part_size: int, size: int, parts: int) -> bool:
    return part_size > 0 and max(1, -(-size // part_size)) == parts
