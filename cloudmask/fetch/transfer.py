"""The transfer of one segment of an object into its partial file, with retries."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing

from botocore.exceptions import IncompleteReadError

from cloudmask.fetch.bucket import Bucket
from cloudmask.fetch.partial_file import BLOCK_BYTES, PartialFile, Segment, WriteError
from cloudmask.fetch.retry import ObjectChangedError, Retries, StoppedError, TransferError
from cloudmask.fetch.selection import SceneObject


def transfer_segment(
    bucket: Bucket,
    scene: SceneObject,
    partial_file: PartialFile,
    segment: Segment,
    is_cancelled: Callable[[], bool],
    on_block: Callable[[int], None],
) -> None:
    """Fetch the missing bytes of a segment; each attempt resumes where the last one ended.

    `is_cancelled` is called before each block, `on_block` after it with its number of bytes.

    Raises:
        ObjectChangedError: the object has another ETag or size than in the listing.
        TransferError: the error is not transient, or the attempts are used up.
        WriteError: a block cannot be written.
        StoppedError: cancelled, or the fetch is being stopped.
    """
    retries = Retries(bucket.policy, bucket.stop)
    while segment.done < segment.length:
        done_before = segment.done
        try:
            with closing(bucket.open_range(scene, segment.position, segment.end)) as body:
                while missing := segment.length - segment.done:
                    if is_cancelled():
                        raise StoppedError
                    block = body.read(min(BLOCK_BYTES, missing))
                    if not block:
                        raise IncompleteReadError(actual_bytes=0, expected_bytes=missing)
                    partial_file.write(segment, block)
                    on_block(len(block))
        except (TransferError, ObjectChangedError, StoppedError, WriteError):
            raise
        except Exception as error:
            if segment.done - done_before >= BLOCK_BYTES:
                retries.failures = 0
            retries.wait_after(error)
