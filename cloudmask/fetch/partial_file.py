"""A partly transferred scene: its bytes in NAME.part, and a journal of them in NAME.part.journal.

The partial file has the object's full length from the start and is filled in segments, several at
a time. After each block the journal gains a line, 'segment bytes', so that a killed process
resumes at the last block. The journal's first line names the object and the boot of the machine:
after a power failure the journal may be newer than the bytes, so the transfer starts again.
"""

from __future__ import annotations

import errno
import json
import os
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from cloudmask.fetch.destination import Destination, UnsafePathError
from cloudmask.fetch.selection import SceneObject

SEGMENT_BYTES = 16 * 2**20
BLOCK_BYTES = 2**18
PARTIAL, JOURNAL = ".part", ".part.journal"
BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


class WriteError(Exception):
    """A block cannot be written to disk; the cause is the OSError."""


@dataclass
class Segment:
    """A byte range of the object, transferred by one worker at a time."""

    index: int
    start: int
    length: int
    done: int = 0

    @property
    def position(self) -> int:
        """Offset of the next missing byte in the object."""
        return self.start + self.done

    @property
    def end(self) -> int:
        """Offset behind the last byte in the object."""
        return self.start + self.length


class PartialFile:
    """The partial file of one scene, open for writing; segments may be written concurrently."""

    def __init__(self, destination: Destination, scene: SceneObject) -> None:
        """Open the partial file; it keeps the bytes of an earlier transfer of the same content.

        Raises as `Destination.open` does.
        """
        self._destination = destination
        self.path = scene.path + PARTIAL
        self._journal_path = scene.path + JOURNAL
        self.segments = _segments(scene.size)
        self._journal = -1
        done = read_journal(destination, scene)
        if done is None:
            self.discard()
        create = os.O_CREAT | os.O_EXCL if done is None else 0
        self.descriptor = destination.open(self.path, os.O_RDWR | create)
        try:
            self._journal = destination.open(self._journal_path, os.O_WRONLY | os.O_APPEND | create)
            if done is None:
                os.truncate(self.descriptor, scene.size)
                os.write(self._journal, _journal_header(scene))
        except BaseException:
            self.close()
            raise
        for segment, count in zip(self.segments, done or (), strict=False):
            segment.done = count

    def write(self, segment: Segment, block: bytes) -> None:
        """Append a block to a segment.

        Raises:
            WriteError: it cannot be written; `segment.done` is unchanged.
        """
        view = memoryview(block)
        line = b"%d %d\n" % (segment.index, segment.done + len(block))
        try:
            while view:
                position = segment.position + len(block) - len(view)
                view = view[os.pwrite(self.descriptor, view, position) :]
            if os.write(self._journal, line) < len(line):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        except OSError as error:
            raise WriteError from error
        segment.done += len(block)

    def close(self) -> None:
        """Close the files and keep them for a later transfer."""
        for descriptor in (self.descriptor, self._journal):
            if descriptor >= 0:
                os.close(descriptor)
        self.descriptor = self._journal = -1

    def discard(self) -> None:
        """Remove the files."""
        self._destination.remove(self._journal_path)
        self._destination.remove(self.path)

    def rename(self, target: str) -> None:
        """Rename the complete file to `target` and remove the journal."""
        self._destination.rename(self.path, target)
        self._destination.remove(self._journal_path)


def read_journal(destination: Destination, scene: SceneObject) -> list[int] | None:
    """Bytes present of each segment, from an earlier transfer of the same content; or None."""
    try:
        status = destination.status(scene.path + PARTIAL)
        # The last line is incomplete if the disk was full.
        header, *lines = destination.read(scene.path + JOURNAL).split(b"\n")[:-1]
        if (
            status is None
            or status.st_size != scene.size
            or header + b"\n" != _journal_header(scene)
        ):
            return None
        segments = _segments(scene.size)
        done = [0] * len(segments)
        for line in lines:
            index, count = (int(number) for number in line.split())
            if index < 0 or not done[index] <= count <= segments[index].length:
                return None
            done[index] = count
    except (OSError, UnsafePathError, ValueError, IndexError):
        return None
    return done


def _segments(size: int) -> list[Segment]:
    return [
        Segment(index, start, min(SEGMENT_BYTES, size - start))
        for index, start in enumerate(range(0, size, SEGMENT_BYTES))
    ]


def _journal_header(scene: SceneObject) -> bytes:
    boot = ""
    with suppress(OSError):
        boot = BOOT_ID.read_text().strip()
    content = {"key": scene.key, "etag": scene.etag, "size": scene.size, "boot": boot}
    return json.dumps(content).encode() + b"\n"
