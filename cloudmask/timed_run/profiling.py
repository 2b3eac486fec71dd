"""A trace of some training steps in the form that trace viewers (Perfetto, Chrome) open."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from torch.profiler import ProfilerActivity, profile, schedule

from cloudmask.distributed.process_group import World
from cloudmask.training.trainer import Progress

# The first steps are unlike the rest, and a trace of many is too large for the viewers.
SKIPPED_STEPS, TRACED_STEPS = 3, 5


@contextmanager
def profiled(path: Path, world: World) -> Iterator[Progress]:
    """Trace steps on this rank into `path`; gives what is to be called as each is handed out."""
    activities = [ProfilerActivity.CPU]
    if world.device.type == "cuda":
        activities.append(ProfilerActivity.CUDA)
    with profile(
        activities=activities,
        schedule=schedule(wait=SKIPPED_STEPS - 1, warmup=1, active=TRACED_STEPS, repeat=1),
        on_trace_ready=lambda profiler: profiler.export_chrome_trace(str(path)),
    ) as profiler:
        yield lambda steps: profiler.step()


def both(first: Progress, second: Progress) -> Progress:
    """One function that reports progress to two."""

    def report(steps: int) -> None:
        first(steps)
        second(steps)

    return report
