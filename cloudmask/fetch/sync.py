"""Synchronisation of the destination with the bucket: transfer, verify and name each scene.

The main thread queues segments and handles results. A worker transfers one segment; the worker
that finishes the last segment of a scene verifies it. A file gets its final name only when its
bytes are on disk, its ETag matches and it is a valid scene.
"""

from __future__ import annotations

import errno
import os
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from threading import Lock

from cloudmask.fetch.bucket import Bucket
from cloudmask.fetch.destination import Destination, UnsafePathError
from cloudmask.fetch.etag import EtagVerifier
from cloudmask.fetch.local_files import quarantine, schema_problem
from cloudmask.fetch.manifest import Manifest, ManifestEntry
from cloudmask.fetch.partial_file import PartialFile, Segment, WriteError
from cloudmask.fetch.progress import Progress
from cloudmask.fetch.retry import ObjectChangedError, StoppedError, TransferError
from cloudmask.fetch.selection import SceneObject
from cloudmask.fetch.transfer import transfer_segment
from cloudmask.fetch.workers import run_jobs

MAX_CHANGES = 3
DISK_FULL = (errno.ENOSPC, errno.EDQUOT)


@dataclass
class Download:
    """The transfer of a scene, shared by the workers on its segments."""

    scene: SceneObject
    changes: int = 0
    """How often the object has changed since the listing."""
    was_corrupt: bool = False
    first_sha256: str | None = None
    """SHA-256 of the first of two transfers, if the ETag cannot be recomputed."""
    partial_file: PartialFile = field(init=False)
    open_segments: int = 0
    error: Exception | None = None
    """The first error; it cancels the other segments."""
    lock: Lock = field(default_factory=Lock)


@dataclass(frozen=True)
class Result:
    """Result of a download: a manifest entry, a failure, or neither if it has to be repeated."""

    download: Download
    entry: ManifestEntry | None = None
    failure: str = ""
    disk_full: bool = False
    notice: str = ""
    discarded: int = 0
    """Bytes that have to be transferred again."""


@dataclass
class Sync:
    """Fetches scenes; afterwards `fetched` is their number, `failures` holds reasons by path."""

    bucket: Bucket
    destination: Destination
    manifest: Manifest
    etags: EtagVerifier
    progress: Progress
    fetched: int = 0
    failures: dict[str, str] = field(default_factory=dict)
    _downloads: deque[Download] = field(default_factory=deque)
    _segment_jobs: deque[Callable[[], Result | None]] = field(default_factory=deque)
    _unfinished: dict[str, SceneObject] = field(default_factory=dict)

    def run(self, scenes: Sequence[SceneObject], workers: int) -> None:
        """Fetch all scenes; those that fail are in `failures`. A full disk ends the fetch.

        KeyboardInterrupt passes through; partial files and manifest stay valid for the next run.
        """
        self._downloads.extend(Download(scene) for scene in scenes)
        self._unfinished = {scene.path: scene for scene in scenes}
        show_progress, stop = self.progress.show, self.bucket.stop
        run_jobs(self._next_job, self._handle_result, show_progress, workers, stop)
        for scene in self._unfinished.values():
            self.failures[scene.display_path] = "not fetched, since the disk is full"

    def _next_job(self) -> Callable[[], Result | None] | None:
        while not self.bucket.stop.is_set():
            if self._segment_jobs:
                return self._segment_jobs.popleft()
            if not self._downloads:
                return None
            self._queue_segments(self._downloads.popleft())
        return None

    def _queue_segments(self, download: Download) -> None:
        try:
            download.partial_file = PartialFile(self.destination, download.scene)
        except (OSError, UnsafePathError) as error:
            self._handle_result(_write_failure(download, error))
            return
        segments = download.partial_file.segments
        missing: list[Segment | None] = [item for item in segments if item.done < item.length]
        missing = missing or [None]  # All bytes are present: one job verifies them.
        download.open_segments = len(missing)
        download.error = None
        self._segment_jobs.extend(partial(self._transfer, download, item) for item in missing)

    def _handle_result(self, result: Result | None) -> None:
        if result is None:
            return
        scene = result.download.scene
        if result.notice:
            self.progress.say(f"{scene.display_path}: {result.notice}")
        if result.entry is None and not result.failure:
            self.progress.add_to_total(result.discarded)
            self._downloads.appendleft(result.download)
            return
        self._unfinished.pop(scene.path, None)
        self.progress.add_file()
        if result.entry is not None:
            self.fetched += 1
            self.manifest.add(scene.path, result.entry)
            return
        self.failures[scene.display_path] = result.failure
        self.progress.say(f"{scene.display_path}: {result.failure}")
        if result.disk_full:
            self.bucket.stop.set()

    def _transfer(self, download: Download, segment: Segment | None) -> Result | None:
        """Job of a worker: transfer a segment and, after the last one, verify the file."""
        try:
            if segment is not None:
                transfer_segment(
                    self.bucket,
                    download.scene,
                    download.partial_file,
                    segment,
                    lambda: download.error is not None or self.bucket.stop.is_set(),
                    self.progress.add,
                )
        except Exception as error:
            with download.lock:
                download.error = download.error or error
        with download.lock:
            download.open_segments -= 1
            if download.open_segments > 0:
                return None
        try:
            if download.error is not None:
                return self._handle_error(download, download.error)
            return self._verify(download)
        except StoppedError:
            return None
        except (OSError, UnsafePathError) as error:
            return _write_failure(download, error)
        finally:
            download.partial_file.close()

    def _verify(self, download: Download) -> Result:
        """Verify a complete partial file and give it its final name."""
        scene, partial_file = download.scene, download.partial_file
        os.fsync(partial_file.descriptor)
        sha256, is_match = self.etags.verify(
            partial_file.descriptor,
            scene.size,
            scene.etag,
            lambda: self.bucket.first_part_size(scene.key),
        )
        if is_match is False:
            return self._repeat_corrupt(download, sha256, "its content does not match its ETag")
        if is_match is None and download.first_sha256 is None:
            partial_file.discard()
            download.first_sha256 = sha256
            notice = "its ETag cannot be recomputed; fetching it twice to compare"
            return Result(download, notice=notice, discarded=scene.size)
        if is_match is None and download.first_sha256 != sha256:
            return self._repeat_corrupt(download, sha256, "two transfers brought different content")
        problem = schema_problem(self.destination.path / partial_file.path)
        if problem:  # The object itself is no scene: another transfer would not help.
            kept = self._quarantine(download, sha256)
            failure = f"the bucket's object is no scene ({problem}); kept as {kept}"
            return Result(download, failure=failure)
        mtime_ns = os.fstat(partial_file.descriptor).st_mtime_ns
        partial_file.rename(scene.path)
        checked_by = "etag" if is_match else "two identical transfers"
        entry = ManifestEntry(scene.key, scene.size, scene.etag, sha256, mtime_ns, checked_by)
        return Result(download, entry)

    def _repeat_corrupt(self, download: Download, sha256: str, problem: str) -> Result:
        kept = self._quarantine(download, sha256)
        if download.was_corrupt:
            return Result(download, failure=f"{problem}, twice; kept as {kept}")
        download.was_corrupt = True
        if download.first_sha256 is not None:
            download.first_sha256 = sha256
        notice = f"{problem}; moved to {kept}, fetching it again"
        return Result(download, notice=notice, discarded=download.scene.size)

    def _quarantine(self, download: Download, sha256: str) -> str:
        path = download.partial_file.path
        kept = quarantine(self.destination, path, download.scene, sha256)
        download.partial_file.discard()
        return kept

    def _handle_error(self, download: Download, error: Exception) -> Result:
        if isinstance(error, ObjectChangedError):
            return self._repeat_changed(download)
        if isinstance(error, WriteError) and isinstance(error.__cause__, OSError):
            return _write_failure(download, error.__cause__)
        if isinstance(error, TransferError):
            return Result(download, failure=str(error))
        raise error

    def _repeat_changed(self, download: Download) -> Result:
        """Fetch the object's new version, unless it keeps changing or does not fit."""
        scene = download.scene
        if download.changes == MAX_CHANGES:
            return Result(download, failure="the object keeps changing")
        try:
            size, etag = self.bucket.size_and_etag(scene.key)
        except TransferError as error:
            return Result(download, failure=f"the object changed after the listing ({error})")
        if etag == scene.etag and size != scene.size:
            failure = f"the listing says {scene.size} bytes, the object has {size}"
            return Result(download, failure=failure)
        if size > self.destination.free_bytes():
            failure = f"the object has changed and has {size} bytes, too many to store"
            return Result(download, failure=failure)
        download.changes += 1
        if etag == scene.etag:
            return Result(download)
        done = sum(segment.done for segment in download.partial_file.segments)
        download.partial_file.discard()
        download.scene = replace(scene, size=size, etag=etag)
        notice = "changed since the listing"
        return Result(download, notice=notice, discarded=done + size - scene.size)


def _write_failure(download: Download, error: OSError | UnsafePathError) -> Result:
    if isinstance(error, UnsafePathError):
        return Result(download, failure=str(error))
    reason = (error.strerror or str(error)).lower()
    is_full = error.errno in DISK_FULL
    return Result(download, failure=f"cannot be written: {reason}", disk_full=is_full)
