"""Worker threads that run jobs while the main thread makes the jobs and handles their results."""

from __future__ import annotations

import time
from collections.abc import Callable
from queue import Empty, SimpleQueue
from threading import Event, Thread
from typing import TypeVar

Result = TypeVar("Result")

PROGRESS_INTERVAL_S = 0.2
# Two: workers do not wait for the main thread, and few jobs are queued when the fetch stops.
JOBS_PER_WORKER = 2
# A stopped job ends within this time, unless it waits for the network.
JOIN_TIMEOUT_S = 3.0


def run_jobs(
    next_job: Callable[[], Callable[[], Result] | None],
    handle_result: Callable[[Result], None],
    show_progress: Callable[[], None],
    workers: int,
    stop: Event,
) -> None:
    """Run jobs until `next_job` returns None and all results have been handled.

    The three functions are called in the caller's thread only. `next_job` is called again after
    each result, which may have made new jobs. An exception of a job is raised here. On any
    exception, KeyboardInterrupt included, `stop` is set; jobs have to watch it.

    The threads are daemons, so one that waits on a dead connection does not keep the process
    alive.
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
            show_progress()
            try:
                result = results.get(timeout=PROGRESS_INTERVAL_S)
            except Empty:
                continue
            in_flight -= 1
            if isinstance(result, BaseException):
                raise result
            handle_result(result)
    except BaseException:
        stop.set()
        raise
    finally:
        for _ in threads:
            jobs.put(None)
        deadline = time.monotonic() + JOIN_TIMEOUT_S
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
