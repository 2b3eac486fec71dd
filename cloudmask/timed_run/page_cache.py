"""The kernel's page cache, dropped before the clock so that data are read from storage."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from cloudmask.config import Config
from cloudmask.distributed.process_group import World, gather

DROP_CACHES = Path("/proc/sys/vm/drop_caches")


def drop_page_cache(config: Config, world: World, scenes: Sequence[Path]) -> bool:
    """Drop the page cache of every node, after the last look at the scenes before the clock.

    If a script has dropped it before the run, only what the run has read of the scenes since then
    is dropped, which takes no right. True if that succeeded on all nodes.
    """
    if config.caches_cleared:
        dropped = all(map(_evict, scenes[world.local_rank :: world.local_size]))
    elif world.local_rank == 0:
        dropped = config.clear_caches and _drop_on_this_node()
    else:
        dropped = True
    return all(gather(dropped))


def _evict(scene: Path) -> bool:
    """Drop the pages of a scene's files from the page cache of this node."""
    try:
        for file in [*scene.rglob("*")] if scene.is_dir() else [scene]:
            descriptor = os.open(file, os.O_RDONLY)
            try:
                os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
            finally:
                os.close(descriptor)
    except OSError:
        return False
    return True


def _drop_on_this_node() -> bool:
    try:
        os.sync()
        DROP_CACHES.write_text("3\n")
    except OSError:  # not root, or in a container
        return False
    return True
