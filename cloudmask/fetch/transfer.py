"""One stretch of one object, from the server into the part file, whatever the network does."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from typing import Any

from botocore.exceptions import IncompleteReadError

from cloudmask.fetch.bucket import Source
from cloudmask.fetch.partial_file import BLOCK_BYTES, Part, Segment
from cloudmask.fetch.retry import (
    Attempts,
    ObjectChangedError,
    StoppedError,
    TransferError,
)
from cloudmask.fetch.selection import Scene


class WriteError(Exception):
    """The disk, not the network, refused; the cause is the OSError."""


def transfer(
    source: Source,
    scene: Scene,
    part: Part,
    segment: Segment,
    abandoned: Callable[[], bool],
    received: Callable[[int], None],
) -> None:
    """Bring what is missing of a segment; each attempt goes on where the last one stopped.

    `abandoned` is asked after each block whether to go on, `received` is told its bytes.

    Raises:
        ObjectChangedError: the server has other content under this key now, or of another size.
        TransferError: it cannot be had, or not within the attempts allowed.
        WriteError: it cannot be written.
        StoppedError: abandoned, or the fetch is being stopped.
    """
    attempts = Attempts(source.policy, source.stop)
    while segment.done < segment.length:
        before = segment.done
        try:
            with closing(source.body(scene, segment.position, segment.end)) as body:
                _copy(body, part, segment, abandoned, received)
        except (TransferError, ObjectChangedError, StoppedError, WriteError):
            raise
        except Exception as error:
            if segment.done - before >= BLOCK_BYTES:
                attempts.progressed()
            attempts.failed(error)


def _copy(
    body: Any,
    part: Part,
    segment: Segment,
    abandoned: Callable[[], bool],
    received: Callable[[int], None],
) -> None:
    while segment.done < segment.length:
        if abandoned():
            raise StoppedError
        block = body.read(min(BLOCK_BYTES, segment.length - segment.done))
        if not block:
            raise IncompleteReadError(actual_bytes=segment.done, expected_bytes=segment.length)
        try:
            part.write(segment, block)
        except OSError as error:
            raise WriteError from error
        received(len(block))
