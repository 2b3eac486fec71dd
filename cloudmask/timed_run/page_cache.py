"""The kernel's page cache, dropped before the clock so that data are read from storage."""

from __future__ import annotations

import os
from pathlib import Path

from cloudmask.config import Config
from cloudmask.distributed.process_group import World, gather

DROP_CACHES = Path("/proc/sys/vm/drop_caches")


def drop_page_cache(config: Config, world: World) -> bool:
    """Drop the page cache of every node; true if that succeeded, or had just been done, on all."""
    dropped = True
    if world.local_rank == 0:
        dropped = config.caches_cleared or (config.clear_caches and _drop_on_this_node())
    return all(gather(dropped))


def _drop_on_this_node() -> bool:
    try:
        os.sync()
        DROP_CACHES.write_text("3\n")
    except OSError:  # not root, or in a container
        return False
    return True
