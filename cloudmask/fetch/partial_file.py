"""A half-written scene: its bytes in NAME.part, and in NAME.part.journal which of them are there.

The part has the object's full length from the start and is filled in segments, several at a
time. After each block the journal gains a line, 'segment bytes', so that a process killed at any
point resumes at the block where it stopped. The journal's first line names the object and the
boot of the machine: after a power cut the lines may have outlived the bytes, so the file starts
anew.
"""

from __future__ import annotations

import errno
import json
import os
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from cloudmask.fetch.destination import Folder, UnsafePathError
from cloudmask.fetch.selection import Scene

SEGMENT_BYTES = 16 * 2**20
BLOCK_BYTES = 2**18
BOOT = Path("/proc/sys/kernel/random/boot_id")


@dataclass
class Segment:
    """A stretch of the object that one worker at a time brings, from its front to its end."""

    index: int
    start: int
    length: int
    done: int = 0

    @property
    def position(self) -> int:
        """Where the next byte belongs in the object."""
        return self.start + self.done

    @property
    def end(self) -> int:
        """Where the segment ends in the object."""
        return self.start + self.length


class Part:
    """The part file of one scene, open for writing; workers write different segments at once."""

    def __init__(self, folder: Folder, scene: Scene) -> None:
        """Opens the part, with the bytes of an earlier attempt at the same content if any.

        Raises:
            UnsafePathError: something else than a plain file has its name.
            OSError: it cannot be made.
        """
        self._folder = folder
        self.path = scene.path + ".part"
        self._journal_path = _journal_path(scene)
        self.segments = _segments(scene.size)
        self._journal = -1
        self._journalled = _deserves_journal(scene)
        done = read_journal(folder, scene)
        if done is None and (self._journalled or folder.status(self.path) is not None):
            self.discard()
        create = 0 if done else os.O_CREAT | os.O_EXCL
        self.descriptor = folder.open(self.path, os.O_RDWR | create)
        try:
            if done is None:
                os.truncate(self.descriptor, scene.size)
            if self._journalled:
                self._journal = folder.open(self._journal_path, os.O_WRONLY | os.O_APPEND | create)
            if self._journalled and done is None:
                os.write(self._journal, _header(scene))
        except BaseException:
            self.close()
            raise
        for segment, count in zip(self.segments, done or (), strict=False):
            segment.done = count

    def write(self, segment: Segment, block: bytes) -> None:
        """Append a block to a segment.

        Raises:
            OSError: it cannot be written; the segment stands where it stood.
        """
        view = memoryview(block)
        position = segment.position
        while view:
            written = os.pwrite(self.descriptor, view, position)
            position += written
            view = view[written:]
        if self._journal >= 0:
            line = b"%d %d\n" % (segment.index, segment.done + len(block))
            if os.write(self._journal, line) < len(line):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        segment.done += len(block)

    def close(self) -> None:
        """Close the files; what is in them stays for the next attempt."""
        for descriptor in (self.descriptor, self._journal):
            if descriptor >= 0:
                os.close(descriptor)
        self.descriptor = self._journal = -1

    def discard(self) -> None:
        """Remove what is on disk."""
        self._folder.remove(self._journal_path)
        self._folder.remove(self.path)

    def rename(self, target: str) -> None:
        """Give the complete part its name for good."""
        self._folder.rename(self.path, target)
        if self._journalled:
            self._folder.remove(self._journal_path)


def read_journal(folder: Folder, scene: Scene) -> list[int] | None:
    """Bytes of each segment that an earlier attempt at this very content has left; else None."""
    if not _deserves_journal(scene):
        return None
    try:
        lines = _journal_lines(folder, scene)
        status = folder.status(scene.path + ".part")
        if status is None or status.st_size != scene.size or next(lines, b"") != _header(scene):
            return None
        segments = _segments(scene.size)
        done = [0] * len(segments)
        for line in lines:
            index, count = (int(number) for number in line.split())
            if not done[index] <= count <= segments[index].length or index < 0:
                return None
            done[index] = count
    except (OSError, UnsafePathError, ValueError, IndexError):
        return None
    return done


def _deserves_journal(scene: Scene) -> bool:
    """A single block is written or not."""
    return scene.size > BLOCK_BYTES


def _journal_lines(folder: Folder, scene: Scene) -> Iterator[bytes]:
    """Whole lines only: the last may have been cut short by a full disk."""
    descriptor = folder.open(_journal_path(scene), os.O_RDONLY)
    with os.fdopen(descriptor, "rb") as journal:
        for line in journal:
            if line.endswith(b"\n"):
                yield line


def _journal_path(scene: Scene) -> str:
    return scene.path + ".part.journal"


def _segments(size: int) -> list[Segment]:
    return [
        Segment(index, start, min(SEGMENT_BYTES, size - start))
        for index, start in enumerate(range(0, size, SEGMENT_BYTES))
    ]


def _header(scene: Scene) -> bytes:
    boot = ""
    with suppress(OSError):
        boot = BOOT.read_text().strip()
    content = {"key": scene.key, "etag": scene.etag, "size": scene.size, "boot": boot}
    return json.dumps(content).encode() + b"\n"
