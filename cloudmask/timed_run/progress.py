"""Progress through the phases of a run: shown on the console and reported to the supervisor."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from cloudmask.console import Console
from cloudmask.distributed.heartbeat import Heartbeat
from cloudmask.training.trainer import Progress


@contextmanager
def phase(console: Console, heartbeat: Heartbeat, steps: int, label: str) -> Iterator[Progress]:
    """Enter a phase of so many steps; yields a function to call with each number of steps done.

    After the phase this rank may wait for other ranks, so a missing heartbeat is no fault.
    """
    heartbeat.enter(label)
    with console.bar(steps, label) as bar:
        yield both(bar, heartbeat.progress)
    heartbeat.wait()


def both(first: Progress, second: Progress) -> Progress:
    """Combine two progress functions into one that calls both."""

    def report(steps: int) -> None:
        first(steps)
        second(steps)

    return report
