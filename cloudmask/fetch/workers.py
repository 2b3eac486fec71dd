"""Threads that run jobs while the main thread decides what is next and hears of the results."""

from __future__ import annotations

import time
from collections.abc import Callable
from queue import Empty, SimpleQueue
from threading import Event, Thread
from typing import TypeVar

Result = TypeVar("Result")

TICK_S = 0.2
# Enough that no worker waits for the main thread, few enough that a stop is a stop.
JOBS_PER_WORKER = 2
# How long a stopped job may take to notice; one that hangs on the network takes longer.
FAREWELL_S = 3.0


def run_jobs(
    next_job: Callable[[], Callable[[], Result] | None],
    handle: Callable[[Result], None],
    tick: Callable[[], None],
    workers: int,
    stop: Event,
) -> None:
    """Run jobs until `next_job` has none left and all results have been handled.

    `next_job`, `handle` and `tick` are called in the caller's thread only; `next_job` is asked
    again after each result, which may have made new jobs. What a job raises is raised here. On
    any exception, Ctrl-C included, `stop` is set, which the jobs are to watch.

    The threads are daemons: one that hangs on a dead connection does not keep a process alive
    that wants to end.
    """
    jobs: SimpleQueue[Callable[[], Result] | None] = SimpleQueue()
    results: SimpleQueue[Result | BaseException] = SimpleQueue()
    threads: list[Thread] = []
    in_flight = 0
    try:
        while True:
            while in_flight < JOBS_PER_WORKER * workers and (job := next_job()) is not None:
                jobs.put(job)
                in_flight += 1
                if len(threads) < workers:
                    threads.append(Thread(target=_work, args=(jobs, results), daemon=True))
                    threads[-1].start()
            if in_flight == 0:
                return
            tick()
            try:
                result = results.get(timeout=TICK_S)
            except Empty:
                continue
            in_flight -= 1
            if isinstance(result, BaseException):
                raise result
            handle(result)
    except BaseException:
        stop.set()
        raise
    finally:
        for _ in threads:
            jobs.put(None)
        deadline = time.monotonic() + FAREWELL_S
        for thread in threads:
            thread.join(max(0.0, deadline - time.monotonic()))


def _work(
    jobs: SimpleQueue[Callable[[], Result] | None],
    results: SimpleQueue[Result | BaseException],
) -> None:
    while (job := jobs.get()) is not None:
        try:
            results.put(job())
        except BaseException as error:
            results.put(error)
