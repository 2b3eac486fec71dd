"""Caches of the kernel, dropped before the clock, so that data come from durable storage."""

from __future__ import annotations

import os
from pathlib import Path

from cloudmask.config import Config
from cloudmask.distributed.process_group import World, gather

DROP_CACHES = Path("/proc/sys/vm/drop_caches")


def clear_caches(config: Config, world: World) -> bool:
    """Drop the file caches of every node; true only if every kernel did so, here or before."""
    cleared = True
    if world.local_rank == 0:
        cleared = config.caches_cleared or (config.clear_caches and _drop_caches())
    return all(gather(cleared))


def _drop_caches() -> bool:
    try:
        os.sync()
        DROP_CACHES.write_text("3\n")
    except OSError:  # not root, or a container
        return False
    return True
