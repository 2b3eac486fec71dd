"""The file of a run's log: reserved before the run, with disk space for all its lines."""

from __future__ import annotations

import os
from pathlib import Path

from cloudmask.checkpoints.folder import make_folder
from cloudmask.config import Config
from cloudmask.distributed.heartbeat import Heartbeat
from cloudmask.errors import InputError
from cloudmask.files import preallocate
from cloudmask.mlperf.log.logger import reserve_result_path

LOG_BYTES = 2**20  # an epoch takes about 2500


def reserve_log(config: Config, heartbeat: Heartbeat) -> Path:
    """Create the next result_N.txt, and allocate its disk space: a full disk cannot cut the log.

    The path is passed to the supervisor, and to scripts by `config.log_pointer`.

    Raises:
        InputError: a folder cannot be made, or the disk is full.
    """
    if config.checkpoint_folder is not None:
        make_folder(config.checkpoint_folder)
    path = reserve_result_path(config.log_folder)
    try:
        preallocate(path, LOG_BYTES)
    except OSError as error:
        path.unlink()
        raise InputError(
            f"{config.log_folder}: no room for the log ({error.strerror}): "
            "free some, or choose another LOGDIR"
        ) from error
    heartbeat.set_log(path)
    if config.log_pointer is not None:
        config.log_pointer.write_bytes(os.fsencode(path) + b"\n")
    return path
