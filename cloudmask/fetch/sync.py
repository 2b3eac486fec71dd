"""Synchronisation of the destination with the bucket: transfer, verify and name each scene.

The main thread queues segments and handles results. A worker transfers one segment; the worker
that finishes the last segment of a scene verifies it. A file gets its final name only when its
bytes are on disk, its ETag matches and it is a valid scene.
"""

from __future__ import annotations

import errno
import os
from collections import deque
from collections.abc import Callable, Iterable
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


@dataclass(frozen=True)
class Request:
    """A scene to fetch, and the results of earlier transfers of it."""

    scene: SceneObject
    changes: int = 0
    """How often the object has changed since the listing."""
    was_corrupt: bool = False
    first_sha256: str | None = None
    """SHA-256 of the first of two transfers, if the ETag cannot be recomputed."""


@dataclass
class Download:
    """A transfer in progress, shared by the workers on its segments."""

    request: Request
    partial_file: PartialFile
    open_segments: int
    error: Exception | None = None
    _lock: Lock = field(default_factory=Lock)

    def fail(self, error: Exception) -> None:
        """Record the first error; it cancels the other segments."""
        with self._lock:
            self.error = self.error or error

    def finish_segment(self) -> bool:
        """Count a segment as finished; True for the last one."""
        with self._lock:
            self.open_segments -= 1
            return self.open_segments == 0


@dataclass(frozen=True)
class Finished:
    """A scene is verified and has a manifest entry, or it failed for a reason."""

    scene: SceneObject
    entry: ManifestEntry | None = None
    reason: str = ""
    disk_full: bool = False


@dataclass(frozen=True)
class Refetch:
    """A scene must be fetched again; `discarded` bytes of it are added to the total."""

    request: Request
    notice: str
    discarded: int


Result = Finished | Refetch


class Sync:
    """Fetches scenes; afterwards `fetched` and `failures` (reason by path) hold the results."""

    def __init__(
        self,
        bucket: Bucket,
        destination: Destination,
        manifest: Manifest,
        etags: EtagVerifier,
        progress: Progress,
    ) -> None:
        self._bucket = bucket
        self._destination = destination
        self._manifest = manifest
        self._etags = etags
        self._progress = progress
        self._requests: deque[Request] = deque()
        self._segment_jobs: deque[Callable[[], Result | None]] = deque()
        self._unfinished: dict[str, SceneObject] = {}
        self.fetched: list[SceneObject] = []
        self.failures: dict[str, str] = {}

    def run(self, scenes: Iterable[SceneObject], workers: int) -> None:
        """Fetch all scenes; those that fail are in `failures`. A full disk ends the fetch.

        KeyboardInterrupt passes through; partial files and manifest stay valid for the next run.
        """
        for scene in scenes:
            self._requests.append(Request(scene))
            self._unfinished[scene.path] = scene
        run_jobs(
            self._next_job, self._handle_result, self._progress.show, workers, self._bucket.stop
        )
        for scene in self._unfinished.values():
            self.failures[scene.display_path] = "not fetched, since the disk is full"

    def _next_job(self) -> Callable[[], Result | None] | None:
        while not self._bucket.stop.is_set():
            if self._segment_jobs:
                return self._segment_jobs.popleft()
            if not self._requests:
                return None
            self._queue_segments(self._requests.popleft())
        return None

    def _queue_segments(self, request: Request) -> None:
        try:
            partial_file = PartialFile(self._destination, request.scene)
        except (OSError, UnsafePathError) as error:
            self._handle_result(_write_failure(request.scene, error))
            return
        segments = partial_file.segments
        missing: list[Segment | None] = [item for item in segments if item.done < item.length]
        missing = missing or [None]
        download = Download(request, partial_file, len(missing))
        for segment in missing:
            self._segment_jobs.append(partial(self._transfer, download, segment))

    def _handle_result(self, result: Result | None) -> None:
        if result is None:
            return
        if isinstance(result, Refetch):
            if result.notice:
                self._progress.say(result.notice)
            self._progress.add_to_total(result.discarded)
            self._requests.appendleft(result.request)
            return
        scene = result.scene
        self._unfinished.pop(scene.path, None)
        self._progress.add_file()
        if result.entry is not None:
            self.fetched.append(scene)
            self._manifest.add(scene.path, result.entry)
            return
        self.failures[scene.display_path] = result.reason
        self._progress.say(f"{scene.display_path}: {result.reason}")
        if result.disk_full:
            self._bucket.stop.set()

    def _transfer(self, download: Download, segment: Segment | None) -> Result | None:
        """Job of a worker: transfer a segment (None: all are present); after the last, verify."""
        scene = download.request.scene
        if segment is not None:
            try:
                transfer_segment(
                    self._bucket,
                    scene,
                    download.partial_file,
                    segment,
                    lambda: download.error is not None or self._bucket.stop.is_set(),
                    self._progress.add,
                )
            except Exception as error:
                download.fail(error)
        if not download.finish_segment():
            return None
        try:
            if download.error is not None:
                return self._handle_error(download, download.error)
            return self._verify(download)
        except StoppedError:
            return None
        except (OSError, UnsafePathError) as error:
            return _write_failure(scene, error)
        finally:
            download.partial_file.close()

    def _verify(self, download: Download) -> Result:
        """Verify a complete partial file and give it its final name."""
        request, partial_file = download.request, download.partial_file
        scene = request.scene
        os.fsync(partial_file.descriptor)
        sha256, is_match = self._etags.verify(
            partial_file.descriptor,
            scene.size,
            scene.etag,
            lambda: self._bucket.first_part_size(scene.key),
        )
        if is_match is False:
            return self._quarantine_corrupt(download, sha256, "its content does not match its ETag")
        if is_match is None and request.first_sha256 is None:
            partial_file.discard()
            notice = f"{scene.display_path}: its ETag cannot be recomputed; fetching it twice"
            return Refetch(replace(request, first_sha256=sha256), notice, scene.size)
        if is_match is None and request.first_sha256 != sha256:
            return self._quarantine_corrupt(download, sha256, "two transfers differ")
        problem = schema_problem(self._destination.path / partial_file.path)
        if problem:
            # The object itself is no scene: another transfer would not help.
            kept = quarantine(self._destination, partial_file.path, scene, sha256)
            partial_file.discard()
            return Finished(
                scene, reason=f"the bucket's object is no scene ({problem}); kept as {kept}"
            )
        mtime_ns = os.fstat(partial_file.descriptor).st_mtime_ns
        partial_file.rename(scene.path)
        checked_by = "etag" if is_match else "two identical transfers"
        entry = ManifestEntry(scene.key, scene.size, scene.etag, sha256, mtime_ns, checked_by)
        return Finished(scene, entry)

    def _quarantine_corrupt(self, download: Download, sha256: str, problem: str) -> Result:
        request, partial_file = download.request, download.partial_file
        kept = quarantine(self._destination, partial_file.path, request.scene, sha256)
        partial_file.discard()
        if request.was_corrupt:
            return Finished(request.scene, reason=f"{problem}, twice; kept as {kept}")
        first_sha256 = sha256 if request.first_sha256 is not None else None
        notice = f"{request.scene.display_path}: {problem}; moved to {kept}, fetching it again"
        again = replace(request, was_corrupt=True, first_sha256=first_sha256)
        return Refetch(again, notice, request.scene.size)

    def _handle_error(self, download: Download, error: Exception) -> Result:
        scene = download.request.scene
        if isinstance(error, ObjectChangedError):
            return self._refetch_changed(download)
        if isinstance(error, WriteError) and isinstance(error.__cause__, OSError):
            return _write_failure(scene, error.__cause__)
        if isinstance(error, TransferError):
            return Finished(scene, reason=str(error))
        raise error

    def _refetch_changed(self, download: Download) -> Result:
        """Fetch the object's new version, unless it keeps changing or does not fit."""
        request = download.request
        scene = request.scene
        if request.changes == MAX_CHANGES:
            return Finished(scene, reason="the object keeps changing")
        try:
            size, etag = self._bucket.size_and_etag(scene.key)
        except TransferError as error:
            return Finished(scene, reason=f"the object changed after the listing ({error})")
        if etag == scene.etag and size != scene.size:
            return Finished(
                scene, reason=f"the listing says {scene.size} bytes, the object has {size}"
            )
        if size > self._destination.free_bytes():
            return Finished(
                scene, reason=f"the object has changed and has {size} bytes, too many to store"
            )
        notice, discarded = "", 0
        if etag != scene.etag:
            notice = f"{scene.display_path}: changed since the listing"
            done = sum(segment.done for segment in download.partial_file.segments)
            discarded = done + size - scene.size
            download.partial_file.discard()
        changed = replace(scene, size=size, etag=etag)
        return Refetch(
            replace(request, scene=changed, changes=request.changes + 1), notice, discarded
        )


def _write_failure(scene: SceneObject, error: OSError | UnsafePathError) -> Finished:
    if isinstance(error, UnsafePathError):
        return Finished(scene, reason=str(error))
    reason = (error.strerror or str(error)).lower()
    return Finished(
        scene, reason=f"cannot be written: {reason}", disk_full=error.errno in DISK_FULL
    )
