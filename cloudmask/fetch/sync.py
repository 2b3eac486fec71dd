"""The transfers: scenes become segments for the workers, and whole files are verified and kept.

The main thread hands out work and hears of results; a worker brings one segment, and whoever
brings the last one of a scene verifies it. A file gets its name only after its bytes are on
disk, its ETag agrees and its schema is a scene's.
"""

from __future__ import annotations

import errno
import os
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from functools import partial
from threading import Lock

from cloudmask.fetch.bucket import Source
from cloudmask.fetch.destination import Folder, UnsafePathError
from cloudmask.fetch.etag import EtagCheck, Verdict
from cloudmask.fetch.local_files import quarantine, schema_problem
from cloudmask.fetch.manifest import Entry, Manifest
from cloudmask.fetch.partial_file import Part, Segment
from cloudmask.fetch.progress import Progress
from cloudmask.fetch.retry import ObjectChangedError, StoppedError, TransferError
from cloudmask.fetch.selection import Scene, printable
from cloudmask.fetch.transfer import WriteError, transfer
from cloudmask.fetch.workers import run_jobs

# An object that keeps changing is given up after this many looks at it.
MOST_CHANGES = 3
DISK_FULL = (errno.ENOSPC, errno.EDQUOT)


@dataclass(frozen=True)
class Request:
    """A scene to fetch, and what came of fetching it before."""

    scene: Scene
    changes: int = 0
    """Times that the object had changed since the listing."""
    corrupt: bool = False
    """It has been fetched once and was corrupt."""
    twin: str | None = None
    """SHA-256 of an earlier transfer whose ETag cannot be recomputed."""


@dataclass
class Download:
    """A scene on its way; the workers on its segments share it."""

    request: Request
    part: Part
    outstanding: int
    problem: Exception | None = None
    _lock: Lock = field(default_factory=Lock)

    def abandon(self, error: Exception) -> None:
        """One worker has failed: the others may stop. The first reason counts."""
        with self._lock:
            self.problem = self.problem or error

    def leave(self) -> bool:
        """One worker less; True for the last one."""
        with self._lock:
            self.outstanding -= 1
            return self.outstanding == 0


@dataclass(frozen=True)
class Stored:
    """A scene is there, verified."""

    scene: Scene
    entry: Entry


@dataclass(frozen=True)
class Lost:
    """A scene could not be had."""

    scene: Scene
    reason: str
    disk_full: bool = False


@dataclass(frozen=True)
class Again:
    """A scene must be fetched (again); `wasted` bytes of it are no use any more."""

    request: Request
    notice: str
    wasted: int


Outcome = Stored | Lost | Again


class Sync:
    """Fetches scenes into a folder; `failures` and `fetched` tell afterwards what came of it."""

    def __init__(
        self,
        source: Source,
        folder: Folder,
        manifest: Manifest,
        etags: EtagCheck,
        progress: Progress,
    ) -> None:
        """Nothing happens before `run`."""
        self._source = source
        self._folder = folder
        self._manifest = manifest
        self._etags = etags
        self._progress = progress
        self._requests: deque[Request] = deque()
        self._segments: deque[Callable[[], Outcome | None]] = deque()
        self._unsettled: dict[str, Scene] = {}
        self.fetched: list[Scene] = []
        self.failures: dict[str, str] = {}

    def run(self, scenes: Iterable[Scene], workers: int) -> None:
        """Fetch all scenes, or name each that could not be had in `failures`.

        A full disk ends the fetch, since every scene would fail. KeyboardInterrupt passes
        through; parts and manifest are good for the next run.
        """
        for scene in scenes:
            self._requests.append(Request(scene))
            self._unsettled[scene.path] = scene
        run_jobs(self._next_job, self._handle, self._progress.tick, workers, self._source.stop)
        for scene in self._unsettled.values():
            self.failures[scene.shown] = "not fetched, since the disk is full"

    def _next_job(self) -> Callable[[], Outcome | None] | None:
        while not self._source.stop.is_set():
            if self._segments:
                return self._segments.popleft()
            if not self._requests:
                return None
            self._open(self._requests.popleft())
        return None

    def _open(self, request: Request) -> None:
        """Make a part file and queue its missing segments."""
        try:
            part = Part(self._folder, request.scene)
        except (OSError, UnsafePathError) as error:
            self._handle(_lost(request.scene, error))
            return
        missing = [segment for segment in part.segments if segment.done < segment.length]
        download = Download(request, part, max(len(missing), 1))
        for segment in missing:
            self._segments.append(partial(self._bring, download, segment))
        if not missing:
            self._segments.append(partial(self._bring, download, None))

    def _handle(self, outcome: Outcome | None) -> None:
        if outcome is None:
            return
        if isinstance(outcome, Again):
            if outcome.notice:
                self._progress.say(outcome.notice)
            self._progress.expect(outcome.wasted)
            self._requests.appendleft(outcome.request)
            return
        scene = outcome.scene
        self._unsettled.pop(scene.path, None)
        self._progress.add_file()
        if isinstance(outcome, Stored):
            self.fetched.append(scene)
            self._manifest.record(scene.path, outcome.entry)
            return
        self.failures[scene.shown] = outcome.reason
        self._progress.say(f"{scene.shown}: {outcome.reason}")
        if outcome.disk_full:
            self._source.stop.set()

    def _bring(self, download: Download, segment: Segment | None) -> Outcome | None:
        """A worker's job: one segment, and if it is the last, the rest of the scene's way."""
        scene = download.request.scene
        if segment is not None:
            try:
                transfer(
                    self._source,
                    scene,
                    download.part,
                    segment,
                    lambda: download.problem is not None or self._source.stop.is_set(),
                    self._progress.add,
                )
            except Exception as error:
                download.abandon(error)
        if not download.leave():
            return None
        try:
            if download.problem is not None:
                return self._explain(download, download.problem)
            return self._conclude(download)
        except StoppedError:
            return None
        except (OSError, UnsafePathError) as error:
            return _lost(scene, error)
        finally:
            download.part.close()

    def _conclude(self, download: Download) -> Outcome:
        """All bytes are there: verify them, and give the file its name."""
        request, part = download.request, download.part
        scene = request.scene
        os.fsync(part.descriptor)
        sha256, verdict = self._etags.examine(
            part.descriptor,
            scene.size,
            scene.etag,
            lambda: self._source.first_part_size(scene.key),
        )
        if verdict is Verdict.MISMATCH:
            return self._corrupt(download, sha256, "its content does not match its ETag")
        if verdict is Verdict.UNKNOWN and request.twin is None:
            part.discard()
            notice = f"{scene.shown}: its ETag cannot be recomputed; fetching it twice to compare"
            return Again(replace(request, twin=sha256), notice, scene.size)
        if verdict is Verdict.UNKNOWN and request.twin != sha256:
            return self._corrupt(download, sha256, "two transfers brought different content")
        problem = schema_problem(self._folder.path / part.path)
        if problem:
            # The bytes are the bucket's own: to fetch them again would bring the same.
            place = printable(quarantine(self._folder, part.path, scene, sha256))
            part.discard()
            return Lost(scene, f"the bucket's object is no scene ({problem}); kept as {place}")
        mtime_ns = os.fstat(part.descriptor).st_mtime_ns
        part.rename(scene.path)
        checked_by = "etag" if verdict is Verdict.MATCH else "two identical transfers"
        entry = Entry(scene.key, scene.size, scene.etag, sha256, mtime_ns, checked_by)
        return Stored(scene, entry)

    def _corrupt(self, download: Download, sha256: str, problem: str) -> Outcome:
        request, part = download.request, download.part
        place = printable(quarantine(self._folder, part.path, request.scene, sha256))
        part.discard()
        if request.corrupt:
            return Lost(request.scene, f"{problem}, twice; kept as {place}")
        twin = sha256 if request.twin is not None else None
        notice = f"{request.scene.shown}: {problem}; moved to {place}, fetching it again"
        return Again(replace(request, corrupt=True, twin=twin), notice, request.scene.size)

    def _explain(self, download: Download, problem: Exception) -> Outcome:
        scene = download.request.scene
        if isinstance(problem, ObjectChangedError):
            return self._look_again(download)
        if isinstance(problem, WriteError) and isinstance(problem.__cause__, OSError):
            return _lost(scene, problem.__cause__)
        if isinstance(problem, TransferError):
            return Lost(scene, str(problem))
        raise problem

    def _look_again(self, download: Download) -> Outcome:
        """The object is not what the listing said: take it as it is now, if that is sound."""
        request = download.request
        scene = request.scene
        if request.changes == MOST_CHANGES:
            return Lost(scene, "the object keeps changing")
        try:
            size, etag = self._source.look(scene.key)
        except TransferError as error:
            return Lost(scene, f"the object changed after the listing ({error})")
        if etag == scene.etag and size != scene.size:
            return Lost(scene, f"the listing says {scene.size} bytes, the object has {size}")
        if size > self._folder.free_bytes():
            return Lost(scene, f"the object has changed and has {size} bytes, too many to store")
        notice, wasted = "", 0
        if etag != scene.etag:
            notice = f"{scene.shown}: changed since the listing"
            wasted = sum(segment.done for segment in download.part.segments) + size - scene.size
            download.part.discard()
        now = replace(scene, size=size, etag=etag)
        return Again(replace(request, scene=now, changes=request.changes + 1), notice, wasted)


def _lost(scene: Scene, error: OSError | UnsafePathError) -> Lost:
    if isinstance(error, UnsafePathError):
        return Lost(scene, str(error))
    full = error.errno in DISK_FULL
    said = (error.strerror or str(error)).lower()
    return Lost(scene, f"cannot be written: {said}", disk_full=full)
