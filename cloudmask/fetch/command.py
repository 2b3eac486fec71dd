"""`fetch`: bring the public data set, or a part of it, to local disk, and prove that it is there.

The bucket's keys below the data set's prefix become paths below the destination, which can then
be given as DATADIR. Interrupting at any point, by any means, loses at most the last blocks.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from threading import Event
from typing import Literal

from cloudmask.errors import EXIT_OK, InputError
from cloudmask.fetch.bucket import Source, connect
from cloudmask.fetch.destination import Folder, UnsafePathError
from cloudmask.fetch.etag import EtagCheck
from cloudmask.fetch.listing import Objects, find_scenes
from cloudmask.fetch.local_files import Finding, State, glance, quarantine, read_closely
from cloudmask.fetch.manifest import NAME as MANIFEST
from cloudmask.fetch.manifest import Manifest
from cloudmask.fetch.partial_file import read_journal
from cloudmask.fetch.progress import Progress, amount, duration
from cloudmask.fetch.retry import RetryPolicy
from cloudmask.fetch.selection import Scene, Selection, printable, select
from cloudmask.fetch.sync import Sync
from cloudmask.fetch.workers import run_jobs

EXIT_FILES_FAILED = 4
EXIT_INTERRUPTED = 130

# The benchmark's page names the first DS1 prefix, its reference repository the second; those of
# DS2 are formed alike.
KNOWN_PREFIXES = {
    "ds1": ("en/cloud_slstr_ds1", "es/cloud_slstr_ds1"),
    "ds2": ("en/cloud_slstr_ds2", "es/cloud_slstr_ds2"),
}


@dataclass(frozen=True)
class FetchOptions:
    """What to fetch, from where, to where."""

    dataset: Literal["ds1", "ds2"]
    """The data set: ds1 (180 GB) or ds2 (4.9 TB)."""
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
    endpoint: str = "https://s3.echo.stfc.ac.uk"
    """URL of the S3 server; http:// is accepted for this machine only."""
    bucket: str = "sciml-datasets"
    """Bucket of the data set."""
    prefix: str | None = None
    """Where the data set is in the bucket; by default the first known place."""
    dry_run: bool = False
    """Say what would be fetched, and write nothing."""
    verify: bool = False
    """Read the files that are there again instead of trusting manifest.json."""


def fetch(options: FetchOptions, policy: RetryPolicy | None = None) -> int:
    """Fetch what the options ask for; the exit code tells what came of it.

    0: every scene asked for is there and verified (with `dry_run`: nothing stands against it).
    4: some are not; each has been named. 130: Ctrl-C; everything fetched so far is kept.

    Raises:
        InputError: an option makes no sense, the bucket cannot be listed or holds nothing that
            was asked for, the destination cannot be used, or what is to come does not fit.
    """
    prefix = _check(options)
    stop = Event()
    policy = policy or RetryPolicy()
    source = connect(options.endpoint, options.bucket, options.workers, policy, stop)
    try:
        return _fetch(options, source, prefix)
    except KeyboardInterrupt:
        print("fetch: interrupted; everything so far is kept, run it again to go on", flush=True)
        return EXIT_INTERRUPTED
    finally:
        stop.set()


def _check(options: FetchOptions) -> str:
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


def _fetch(options: FetchOptions, source: Source, prefix: str) -> int:
    def pick(objects: Objects, below: str) -> Selection:
        return select(objects, below, options.subset, options.include, options.limit)

    known = KNOWN_PREFIXES[options.dataset]
    prefix, selection = find_scenes(source, prefix, known, pick, _say)
    _say(
        f"{options.dataset} at {options.endpoint}, bucket {options.bucket}, {prefix}/: "
        f"{len(selection.scenes)} scenes asked for, "
        f"{amount(sum(scene.size for scene in selection.scenes))}; "
        f"{selection.others} other objects left alone"
    )
    # A dry run makes no folder; where there is none, nothing is here yet.
    folder = None
    if not options.dry_run or os.access(options.dest, os.F_OK):
        folder = Folder(options.dest, create=not options.dry_run)
    try:
        if folder is not None and not options.dry_run:
            folder.lock()
        place = {"endpoint": options.endpoint, "bucket": options.bucket, "prefix": prefix}
        manifest = Manifest(folder, options.dataset, place)
        try:
            return _bring_up_to_date(options, source, selection, folder, manifest)
        finally:
            manifest.try_to_save()
    finally:
        if folder is not None:
            folder.close()


def _bring_up_to_date(
    options: FetchOptions,
    source: Source,
    selection: Selection,
    folder: Folder | None,
    manifest: Manifest,
) -> int:
    etags = EtagCheck()
    failures = dict(selection.refused)
    for path, reason in failures.items():
        _say(f"{path}: refused, {reason}")
    findings = _examine(options, source, selection.scenes, folder, manifest, etags)
    here = [finding for finding in findings if finding.state is State.HERE]
    missing: list[Scene] = []
    for finding in findings:
        if finding.state is State.HERE:
            continue
        if finding.state is State.BLOCKED or (
            finding.state is State.CORRUPT and not _set_aside(options, folder, finding, manifest)
        ):
            failures[finding.scene.shown] = finding.reason
        else:
            missing.append(finding.scene)
    resumed = _plan(options, missing, len(here), folder)
    if options.dry_run or folder is None:
        for scene in missing:
            _say(f"would fetch {scene.shown} ({amount(scene.size)})")
        return _summary(failures, f"{len(here)} scenes here, {len(missing)} to fetch")
    size = sum(scene.size for scene in missing)
    with Progress("fetch", size, len(missing), resumed) as progress:
        sync = Sync(source, folder, manifest, etags, progress)
        sync.run(missing, options.workers)
    failures.update(sync.failures)
    if not manifest.try_to_save():
        failures[MANIFEST] = "cannot be written; the next run reads the files again"
    rate = amount(progress.received / max(progress.elapsed_s, 1e-9))
    return _summary(
        failures,
        f"{len(here)} scenes were here, {len(sync.fetched)} fetched "
        f"({amount(progress.received)} in {duration(progress.elapsed_s)}, {rate}/s)",
    )


def _examine(
    options: FetchOptions,
    source: Source,
    scenes: Sequence[Scene],
    folder: Folder | None,
    manifest: Manifest,
    etags: EtagCheck,
) -> list[Finding]:
    """The state of each scene in the destination; files that need it are read, in parallel."""
    findings = {}
    for scene in scenes:
        entry = manifest.entries.get(scene.path)
        findings[scene.path] = glance(folder, scene, entry, options.verify)
    unread = [finding.scene for finding in findings.values() if finding.state is State.UNREAD]
    if folder is None or not unread:
        return list(findings.values())
    verb = "verify" if options.verify else "check"
    waiting = iter(unread)
    with Progress(verb, sum(scene.size for scene in unread), len(unread)) as progress:

        def next_job() -> Callable[[], Finding] | None:
            scene = next(waiting, None)
            if scene is None:
                return None
            entry = manifest.entries.get(scene.path)
            return partial(read_closely, folder, scene, entry, source, etags)

        def handle(finding: Finding) -> None:
            findings[finding.scene.path] = finding
            progress.add(finding.scene.size)
            progress.add_file()
            if finding.entry is not None and not options.dry_run:
                manifest.record(finding.scene.path, finding.entry)

        run_jobs(next_job, handle, progress.tick, options.workers, source.stop)
    return list(findings.values())


def _set_aside(
    options: FetchOptions, folder: Folder | None, finding: Finding, manifest: Manifest
) -> bool:
    """Move a corrupt file to quarantine; False where it stays and the scene cannot be had."""
    scene = finding.scene
    if folder is None or options.dry_run:
        return False
    try:
        place = printable(quarantine(folder, scene.path, scene, finding.sha256))
    except (OSError, UnsafePathError) as error:
        _say(f"{scene.shown}: cannot be moved to quarantine: {printable(str(error))}")
        return False
    manifest.forget(scene.path)
    _say(f"{scene.shown}: corrupt ({finding.reason}); moved to {place}, fetching it again")
    return True


def _plan(options: FetchOptions, missing: Sequence[Scene], here: int, folder: Folder | None) -> int:
    """Say what is to come, and return the bytes that an earlier run has left of it.

    Raises:
        InputError: it does not fit.
    """
    resumed = sum(sum(read_journal(folder, scene) or ()) for scene in missing if folder is not None)
    needed = sum(scene.size for scene in missing) - resumed
    place = folder or _nearest_folder(options.dest)
    free = place.free_bytes()
    if folder is None:
        place.close()
    _say(
        f"plan: {here} scenes here already, {len(missing)} to fetch: {amount(needed)} to transfer, "
        f"{amount(free)} free in {options.dest}"
        + (f", {amount(resumed)} left by an earlier run" if resumed else "")
    )
    if needed > free:
        raise InputError(
            f"--dest {options.dest}: {needed} bytes are to be fetched but {free} bytes are free; "
            "make room, or fetch less with --subset, --limit or --include"
        )
    return resumed


def _nearest_folder(path: Path) -> Folder:
    while not os.access(path, os.F_OK) and path != path.parent:
        path = path.parent
    return Folder(path, create=False)


def _summary(failures: dict[str, str], done: str) -> int:
    _say(f"fetch: {done}, {len(failures)} failed")
    for path in sorted(failures):
        _say(f"failed: {path}: {failures[path]}")
    return EXIT_FILES_FAILED if failures else EXIT_OK


def _say(line: str) -> None:
    print(line, flush=True)
