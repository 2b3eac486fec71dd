"""Jobs run in threads, and everything else in the main thread."""

import threading
from threading import Event

import pytest

from cloudmask.fetch import workers as module
from cloudmask.fetch.workers import run_jobs


def test_all_jobs_run_and_all_results_are_handled_in_the_main_thread() -> None:
    jobs = list(range(20))
    results: list[int] = []
    threads: set[threading.Thread] = set()

    def next_job():  # type: ignore[no-untyped-def]
        threads.add(threading.current_thread())
        if not jobs:
            return None
        number = jobs.pop()
        return lambda: number

    def handle_result(number: int) -> None:
        threads.add(threading.current_thread())
        results.append(number)
        if number == 0 and len(results) < 30:
            jobs.extend([100, 101])  # A result makes new jobs.

    stop = Event()
    run_jobs(next_job, handle_result, lambda: threads.add(threading.current_thread()), 3, stop)
    assert sorted(results) == [*range(20), 100, 101]
    assert threads == {threading.main_thread()}
    assert not stop.is_set()


def test_as_many_jobs_run_at_once_as_there_are_workers() -> None:
    together = threading.Barrier(3)
    jobs = [lambda: together.wait(60) for _ in range(6)]
    results: list[int] = []
    run_jobs(lambda: jobs.pop() if jobs else None, results.append, lambda: None, 3, Event())
    assert sorted(results) == [0, 0, 1, 1, 2, 2]


def test_at_most_two_jobs_for_each_worker_are_taken_in_advance() -> None:
    taken: list[int] = []
    release = Event()

    def next_job():  # type: ignore[no-untyped-def]
        if len(taken) == 10:
            return None
        taken.append(1)
        return lambda: release.wait(60)

    in_advance: list[int] = []

    def show_progress() -> None:
        in_advance.append(len(taken))
        release.set()

    run_jobs(next_job, lambda result: None, show_progress, 2, Event())
    assert in_advance[0] == 4
    assert len(taken) == 10


@pytest.mark.parametrize("where", ["job", "handle", "next", "progress"])
@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_an_exception_anywhere_stops_all_and_is_raised(
    where: str, error: type[BaseException]
) -> None:
    def fail(*_: object) -> None:
        raise error

    jobs = [fail if where == "job" else lambda: None]
    stop = Event()
    with pytest.raises(error):
        run_jobs(
            fail if where == "next" else lambda: jobs.pop() if jobs else None,
            fail if where == "handle" else lambda result: None,
            fail if where == "progress" else lambda: None,
            1,
            stop,
        )
    assert stop.is_set()


def test_a_job_that_hangs_does_not_keep_the_process_alive(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "JOIN_TIMEOUT_S", 0.0)
    release = Event()
    threads: list[threading.Thread] = []

    def hang() -> None:
        threads.append(threading.current_thread())
        release.wait(60)

    def interrupt() -> None:
        if threads:
            raise KeyboardInterrupt

    jobs = [hang]
    with pytest.raises(KeyboardInterrupt):
        run_jobs(lambda: jobs.pop() if jobs else None, lambda result: None, interrupt, 1, Event())
    (thread,) = threads
    assert thread.is_alive()
    assert thread.daemon
    release.set()
    thread.join(60)
    assert not thread.is_alive()
