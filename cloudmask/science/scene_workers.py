"""One function over many scenes, in this process or in worker processes that share the cores."""

from __future__ import annotations

import multiprocessing
import signal
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from cloudmask.errors import InputError, SceneError
from cloudmask.files import require_shared_memory
from cloudmask.machine.system.cgroups import usable_cores
from cloudmask.machine.system.threads import limit_threads
from cloudmask.scenes.failures import SCENE_FAILURES, scene_failure, scene_name

Progress = Callable[[int], object]
"""Advances a progress bar by so many scenes."""
Result = TypeVar("Result")


def map_scenes(
    function: Callable[[Path], Result],
    scenes: Sequence[Path],
    kind: str,
    unusable: dict[str, str],
    progress: Progress,
    workers: int = 1,
) -> list[Result]:
    """Results of `function` for all usable scenes, in their order.

    The reason for each scene that fails is added to `unusable`, by file name. With several
    `workers`, `function` must be one that can be pickled, and a worker that is lost fails its scene
    and those after it.

    Raises:
        InputError: no scene is usable; `kind` is what the message calls them.
    """
    results = []
    workers = min(workers, len(scenes))
    calls = _in_workers(function, scenes, workers) if workers > 1 else _here(function, scenes)
    for path, call in calls:
        try:
            results.append(call())
        except SCENE_FAILURES as error:
            unusable[scene_name(path)] = scene_failure(path, error)
        progress(1)
    if not results:
        reason = unusable[scene_name(scenes[0])]
        raise InputError(f"no {kind} can be used; the first of {len(scenes)}: {reason}")
    return results


Calls = Iterator[tuple[Path, Callable[[], Result]]]


def _here(function: Callable[[Path], Result], scenes: Sequence[Path]) -> Calls[Result]:
    for path in scenes:
        yield path, partial(function, path)


def _in_workers(
    function: Callable[[Path], Result], scenes: Sequence[Path], workers: int
) -> Calls[Result]:
    require_shared_memory()
    context = multiprocessing.get_context("spawn")  # CUDA does not survive a fork
    executor = ProcessPoolExecutor(workers, context, _start_worker, (function, workers))
    try:
        futures = [executor.submit(_call_in_worker, path) for path in scenes]
        for path, future in zip(scenes, futures, strict=True):

            def result(path: Path = path, future: Any = future) -> Result:
                try:
                    found: Result = future.result()
                except BrokenProcessPool as error:
                    raise SceneError(
                        f"{path.name}: a worker process was lost, perhaps for want of memory: use "
                        "fewer --workers"
                    ) from error
                return found

            yield path, result
    finally:
        executor.shutdown(cancel_futures=True)


_function: Callable[[Path], Any] | None = None


def _start_worker(function: Callable[[Path], Any], workers: int) -> None:
    global _function
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent process ends the evaluation
    limit_threads(usable_cores() // workers)
    _function = function


def _call_in_worker(path: Path) -> Any:
    assert _function is not None
    return _function(path)
