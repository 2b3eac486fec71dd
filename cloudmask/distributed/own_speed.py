"""Work that ranks complete at different speeds, during which the loss of one is noticed."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import Event, Thread

from cloudmask.distributed.process_group import gather

ROUND = 0.5  # seconds between two messages


@contextmanager
def at_own_speed() -> Iterator[Callable[[int], object]]:
    """Do work that may take longer on some ranks; return when every rank has done its own.

    Meanwhile a thread exchanges messages with the other ranks, so that no collective waits for the
    work: its timeout limits how long a lost rank goes unnoticed, whatever the work takes. Yields a
    function to call after each step of the work, which uses no collectives itself.

    Raises:
        Exception: another rank was lost; see `describe_lost_rank`.
    """
    ended, given_up = Event(), Event()
    lost: list[Exception] = []

    def exchange() -> None:
        try:
            while True:
                done = ended.wait(ROUND)
                if given_up.is_set() or all(gather(done)):
                    return
        except Exception as error:
            lost.append(error)

    def check(steps: int) -> None:
        if lost:
            raise lost[0]

    thread = Thread(target=exchange, name="at own speed", daemon=True)
    thread.start()
    try:
        yield check
    except BaseException:
        given_up.set()  # no message any more, rather than that the work is done
        raise
    finally:
        ended.set()
    thread.join()
    check(0)
