"""Timed runs in the process of the test: the real code on one rank, with a narrow network."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from unittest.mock import patch

from cloudmask import cli
from cloudmask.config import Config
from cloudmask.distributed import supervisor
from cloudmask.distributed.heartbeat import Heartbeat
from cloudmask.model.unet import UNet

IN_CHANNELS, NARROW = 9, (2, 2, 2, 2)


class OneRankHere:
    """Stands in for the supervisor: its only rank is this process."""

    def __init__(self, config: Config, *_: object) -> None:
        self.config = config

    def run(self) -> int:
        """Do the run; returns its exit code."""
        from cloudmask.timed_run.run import timed_run

        return timed_run(self.config, Heartbeat())


@contextmanager
def training_in_this_process() -> Iterator[Callable[..., int]]:
    """Yields `cloudmask train` as a function of flags; it returns the exit code."""
    handlers = {number: signal.getsignal(number) for number in cli.STOP_SIGNALS}

    def train(*flags: object) -> int:
        quiet = ("--no-clear-caches", "--sample-seconds=0", "--workers=1", "--device=cpu")
        return cli.main(["train", *quiet, *map(str, flags)])

    with (
        patch.object(UNet.__init__, "__defaults__", (IN_CHANNELS, NARROW)),
        patch.object(supervisor, "Supervisor", OneRankHere),
    ):
        yield train
    for number, handler in handlers.items():
        signal.signal(number, handler)
