"""The `fetch` command: copy the public data set, or a part of it, to local disk, verified.

The bucket's keys below the data set's prefix become paths below the destination, which can then
be given as DATADIR. A fetch that is interrupted or killed loses at most the last blocks.
"""

from __future__ import annotations

import signal
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from threading import Event
from typing import Literal

from cloudmask.console import Console
from cloudmask.errors import EXIT_OK, EXIT_SIGNAL, EXIT_SOME_FAILED, InputError
from cloudmask.fetch import croissant
from cloudmask.fetch.bucket import Bucket, connect
from cloudmask.fetch.destination import Destination, UnsafePathError
from cloudmask.fetch.etag import EtagVerifier
from cloudmask.fetch.listing import list_data_set
from cloudmask.fetch.local_files import (
    FileState,
    LocalFile,
    check_content,
    check_metadata,
    quarantine,
)
from cloudmask.fetch.manifest import NAME as MANIFEST
from cloudmask.fetch.manifest import Manifest
from cloudmask.fetch.partial_file import read_journal
from cloudmask.fetch.places import BUCKET, ENDPOINT, KNOWN_PREFIXES
from cloudmask.fetch.progress import Progress, format_bytes
from cloudmask.fetch.retry import RetryPolicy
from cloudmask.fetch.selection import SceneObject, Selection, printable_ascii, select_scenes
from cloudmask.fetch.sync import Sync
from cloudmask.fetch.workers import run_jobs
from cloudmask.tables import counted


@dataclass(frozen=True)
class FetchOptions:
    """What to fetch, from where, to where."""

    dataset: Literal["ds1", "ds2"]
    """The data set, of 180 GB (ds1) or 4.9 TB (ds2)."""
    dest: Path
    """Folder to write to; give it as DATADIR afterwards."""
    subset: Literal["training", "inference"] | None = None
    """Fetch only this subset; both by default."""
    limit: int | None = None
    """Fetch at most this many scenes: training first, in the order of their names."""
    include: str | None = None
    """Fetch only scenes whose name, or path below the prefix, matches this pattern (*, ?, [])."""
    workers: int = 16
    """Transfers at the same time."""
    endpoint: str = ENDPOINT
    """URL of the S3 server; http:// is accepted for this machine only."""
    bucket: str = BUCKET
    """Bucket of the data set."""
    prefix: str | None = None
    """Where the data set is in the bucket; by default the first known place."""
    dry_run: bool = False
    """Say what would be fetched, and write nothing."""
    croissant: Path | None = None
    """Write a description of the data set, with every verified file, to this file (JSON-LD)."""
    verify: bool = False
    """Read the files that are there again instead of trusting manifest.json."""


def fetch(options: FetchOptions, policy: RetryPolicy | None = None) -> int:
    """Fetch the scenes that the options ask for, and return the exit code.

    0: all scenes are there and verified (with `dry_run`: nothing prevents it). 4: some failed;
    each is named. 130: interrupted by Ctrl-C; everything fetched so far is kept.

    Raises:
        InputError: an option is invalid, the bucket cannot be listed or holds nothing that was
            asked for, the destination cannot be used, or the disk is too small.
    """
    prefix = _validate(options)
    stop = Event()
    policy = policy or RetryPolicy()
    bucket = connect(options.endpoint, options.bucket, options.workers, policy, stop)
    console = Console(visible=True)
    try:
        return _fetch(options, bucket, prefix, console)
    except KeyboardInterrupt:
        console.say("fetch: interrupted; everything fetched so far is kept, run it again to resume")
        return EXIT_SIGNAL + signal.SIGINT
    finally:
        stop.set()


def _validate(options: FetchOptions) -> str:
    """The prefix without slashes at its ends."""
    if options.dataset not in KNOWN_PREFIXES:
        raise InputError(f"data set {options.dataset!r} is unknown; give ds1 or ds2")
    if options.limit is not None and options.limit < 1:
        raise InputError(f"--limit {options.limit}: give a number of scenes, at least 1")
    if options.workers < 1:
        raise InputError(f"--workers {options.workers}: give at least 1")
    prefix = KNOWN_PREFIXES[options.dataset][0] if options.prefix is None else options.prefix
    if not prefix.strip("/"):
        raise InputError(f"--prefix {prefix!r} is empty; give the data set's place in the bucket")
    return prefix.strip("/")


def _fetch(options: FetchOptions, bucket: Bucket, prefix: str, console: Console) -> int:
    known_prefixes = KNOWN_PREFIXES[options.dataset]
    prefix, objects = list_data_set(bucket, prefix, known_prefixes, console.say)
    selection = select_scenes(objects, prefix, options.subset, options.include, options.limit)
    total = sum(scene.size for scene in selection.scenes)
    console.say(
        f"{options.dataset} at {options.endpoint}, bucket {options.bucket}, {prefix}/: "
        f"{counted(len(selection.scenes), 'scene')} asked for, {format_bytes(total)}; "
        f"{counted(selection.ignored, 'object', 'other')} ignored"
    )
    with closing(Destination(options.dest, create=not options.dry_run)) as destination:
        if not options.dry_run:
            destination.lock()
        source = {"endpoint": options.endpoint, "bucket": options.bucket, "prefix": prefix}
        manifest = Manifest(destination, options.dataset, source)
        try:
            return _Update(options, bucket, destination, manifest, console).run(selection)
        finally:
            manifest.save()


@dataclass
class _Update:
    """The update of a destination to a selection of scenes."""

    options: FetchOptions
    bucket: Bucket
    destination: Destination
    manifest: Manifest
    console: Console

    def run(self, selection: Selection) -> int:
        failures = dict(selection.refused)
        for path, reason in failures.items():
            self.console.say(f"{path}: refused, {reason}")
        etags = EtagVerifier()
        missing: list[SceneObject] = []
        present = 0
        for file in self._check_files(selection.scenes, etags):
            if file.state is FileState.PRESENT:
                present += 1
            elif file.state is FileState.BLOCKED or (
                file.state is FileState.CORRUPT and not self._quarantine(file)
            ):
                failures[file.scene.display_path] = file.problem
            else:
                missing.append(file.scene)
        resumed = self._plan(missing, present)
        if self.options.dry_run:
            for scene in missing:
                self.console.say(f"would fetch {scene.display_path} ({format_bytes(scene.size)})")
            return self._finish(
                failures, f"{counted(present, 'scene')} present, {len(missing)} to fetch"
            )
        size = sum(scene.size for scene in missing)
        with closing(Progress("fetch", size, len(missing), resumed)) as progress:
            sync = Sync(self.bucket, self.destination, self.manifest, etags, progress)
            sync.run(missing, self.options.workers)
        failures.update(sync.failures)
        if not self.manifest.save():
            failures[MANIFEST] = "cannot be written; the next run reads the files again"
        if self.options.croissant is not None:
            croissant.write(self.options.dataset, self.manifest.entries, self.options.croissant)
        return self._finish(
            failures,
            f"{counted(present, 'scene')} already present, {sync.fetched} fetched "
            f"({progress.summary()})",
        )

    def _check_files(self, scenes: Sequence[SceneObject], etags: EtagVerifier) -> list[LocalFile]:
        """The state of each scene's file; files not in the manifest are read, in parallel."""
        entries = self.manifest.entries
        files = {
            scene.path: check_metadata(
                self.destination, scene, entries.get(scene.path), self.options.verify
            )
            for scene in scenes
        }
        unverified = [file.scene for file in files.values() if file.state is FileState.UNVERIFIED]
        if not unverified:
            return list(files.values())
        jobs = (
            partial(
                check_content, self.destination, scene, entries.get(scene.path), self.bucket, etags
            )
            for scene in unverified
        )
        label = "verify" if self.options.verify else "check"
        size = sum(scene.size for scene in unverified)
        with closing(Progress(label, size, len(unverified))) as progress:

            def handle_result(file: LocalFile) -> None:
                files[file.scene.path] = file
                progress.add(file.scene.size)
                progress.add_file()
                if file.entry is not None and not self.options.dry_run:
                    self.manifest.add(file.scene.path, file.entry)

            workers, stop = self.options.workers, self.bucket.stop
            run_jobs(lambda: next(jobs, None), handle_result, progress.show, workers, stop)
        return list(files.values())

    def _quarantine(self, file: LocalFile) -> bool:
        """Move a corrupt file to quarantine; False if it stays."""
        if self.options.dry_run:
            return False
        scene = file.scene
        try:
            kept = quarantine(self.destination, scene.path, scene, file.sha256)
        except (OSError, UnsafePathError) as error:
            reason = printable_ascii(str(error))
            self.console.say(f"{scene.display_path}: cannot be moved to quarantine: {reason}")
            return False
        self.manifest.remove(scene.path)
        self.console.say(
            f"{scene.display_path}: corrupt ({file.problem}); moved to {kept}, fetching it again"
        )
        return True

    def _plan(self, missing: Sequence[SceneObject], present: int) -> int:
        """Show the plan, and return the bytes that are present in partial files.

        Raises:
            InputError: the disk is too small.
        """
        dest = self.options.dest
        resumed = sum(sum(read_journal(self.destination, scene) or ()) for scene in missing)
        needed = sum(scene.size for scene in missing) - resumed
        free = self.destination.free_bytes()
        self.console.say(
            f"plan: {counted(present, 'scene')} present, {len(missing)} to fetch: "
            f"{format_bytes(needed)} to transfer, {format_bytes(free)} free in {dest}"
            + (f", {format_bytes(resumed)} from an earlier run" if resumed else "")
        )
        if needed > free:
            raise InputError(
                f"--dest {dest}: {needed} bytes are to be fetched but {free} bytes are free; "
                "make room, or fetch less with --subset, --limit or --include"
            )
        return resumed

    def _finish(self, failures: dict[str, str], summary: str) -> int:
        self.console.say(f"fetch: {summary}, {len(failures)} failed")
        for path in sorted(failures):
            self.console.say(f"failed: {path}: {failures[path]}")
        return EXIT_SOME_FAILED if failures else EXIT_OK
