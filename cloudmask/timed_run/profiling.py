"""A trace of some training steps, in the JSON format that Perfetto and Chrome open."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from torch.profiler import ProfilerActivity, profile, schedule

from cloudmask.training.trainer import Progress

# The first steps differ from the rest, and the viewers cannot open a trace of many steps.
SKIPPED_STEPS, TRACED_STEPS = 3, 5


@contextmanager
def trace_steps(path: Path, device: torch.device) -> Iterator[Progress]:
    """Trace steps of this rank into `path`; yields a function to call after each step."""
    activities = [ProfilerActivity.CPU]
    if device.type == "cuda":
        activities.append(ProfilerActivity.CUDA)
    with profile(
        activities=activities,
        schedule=schedule(wait=SKIPPED_STEPS - 1, warmup=1, active=TRACED_STEPS, repeat=1),
        on_trace_ready=lambda profiler: profiler.export_chrome_trace(str(path)),
    ) as profiler:
        yield lambda steps: profiler.step()
