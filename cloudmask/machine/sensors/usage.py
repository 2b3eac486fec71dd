"""What the samples of a node come to."""

from __future__ import annotations

import csv
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

KINDS = {"gpu": "gpu", "package": "cpu", "dram": "memory"}
LOADS = ("cpu_percent",)
COUNTERS = ("received_mib", "sent_mib")


@dataclass
class Usage:
    """One node from its first sample to its last.

    Attributes:
        seconds: between these two.
        samples: rows of the file.
        joules: energy of each measured device: package-0 (a processor), dram-0 (its memory), gpu-0.
        figures: means of loads in percent, peaks of memory in GiB, network traffic in MiB; of all
            GPUs together, the mean load and the peak of the fullest.
    """

    seconds: float = 0.0
    samples: int = 0
    joules: dict[str, float] = field(default_factory=dict)
    figures: dict[str, float] = field(default_factory=dict)

    def by_kind(self) -> dict[str, float]:
        """Joules of all devices of a kind: cpu, memory, gpu."""
        sums: dict[str, float] = defaultdict(float)
        for device, joules in self.joules.items():
            sums[KINDS[device.partition("-")[0]]] += joules
        return dict(sums)


def read_usage(file: Path) -> Usage:
    """What a file of the sampler says; nothing if there is no file or no whole row in it."""
    rows = _rows(file)
    first = next(rows, None)
    if first is None:
        return Usage()
    last, samples = first, 1
    sums: dict[str, float] = defaultdict(float)
    peaks = dict(first)
    for samples, last in enumerate(rows, 2):  # noqa: B007 (both are used behind the loop)
        for name, value in last.items():
            sums[name] += value
            peaks[name] = max(peaks[name], value)
    # A load is that of the time since the row before; the first row's was before the first row.
    means = {name: total / (samples - 1) for name, total in sums.items()}
    figures = {name: means[name] for name in LOADS if name in means}
    figures["memory_gib"] = peaks["memory_gib"]
    figures |= {name: last[name] - first[name] for name in COUNTERS}
    if loads := _of_gpus(means, "percent"):
        figures |= {
            "gpu_percent": sum(loads) / len(loads),
            "gpu_memory_gib": max(_of_gpus(peaks, "memory_gib")),
        }
    joules = {
        name.removesuffix("_joules"): round(value - first[name], 3)
        for name, value in last.items()
        if name.endswith("_joules")
    }
    seconds = (last["time_ms"] - first["time_ms"]) / 1000
    rounded = {name: round(value, 3) for name, value in figures.items()}
    return Usage(seconds, samples, joules, rounded)


def _rows(file: Path) -> Iterator[dict[str, float]]:
    if not file.is_file():
        return
    with file.open(newline="") as lines:
        for cells in csv.DictReader(lines):
            try:
                yield {name: float(cell) for name, cell in cells.items()}
            except (TypeError, ValueError):  # the sampler was killed as it wrote
                return


def _of_gpus(values: dict[str, float], quantity: str) -> list[float]:
    return [
        value
        for name, value in values.items()
        if name.startswith("gpu-") and name.endswith(f"_{quantity}")
    ]
