"""Energy, loads and memory of a node, from the samples of its sampler."""

import csv
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

DEVICE_KINDS = {"gpu": "gpu", "package": "cpu", "dram": "memory", "node": "node"}
LOADS = ("cpu_percent",)
COUNTERS = ("received_mib", "sent_mib")


@dataclass
class Usage:
    """The usage of one node between its first and its last sample."""

    seconds: float = 0.0
    samples: int = 0  # rows of the file
    # Joules by device: package-0 (a processor), dram-0 (its memory), gpu-0; node, which holds them.
    joules: dict[str, float] = field(default_factory=dict)
    # Mean loads in percent, peak memory in GiB, network traffic in MiB; of the GPUs, the mean load
    # of all and the peak memory of the fullest.
    figures: dict[str, float] = field(default_factory=dict)

    def by_kind(self) -> dict[str, float]:
        """Joules by kind of device: cpu, memory, gpu, node."""
        sums: dict[str, float] = defaultdict(float)
        for device, joules in self.joules.items():
            sums[DEVICE_KINDS[device.partition("-")[0]]] += joules
        return dict(sums)

    def total_joules(self) -> float:
        """Joules of the node: by its own meter, or else the sum over its measured devices.

        A meter that counted less than the devices is not of the whole node.
        """
        return max(self.joules.get("node", 0.0), self.of_devices())

    def of_devices(self) -> float:
        """Joules of processors, memory and GPUs."""
        return sum(joules for device, joules in self.joules.items() if device != "node")


def read_usage(file: Path) -> Usage:
    """The usage in a file of the sampler; zeros if it is missing or has no complete row."""
    rows = read_rows(file)
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
    # The load in a row is that of the time since the row before, so the first row has none.
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


def read_rows(file: Path) -> Iterator[dict[str, float]]:
    """The samples, by column, up to a row that was cut; none if there is no file."""
    if not file.is_file():
        return
    with file.open(newline="") as lines:
        for cells in csv.DictReader(lines):
            try:
                yield {name: float(cell) for name, cell in cells.items()}
            except (TypeError, ValueError):  # a truncated row: the sampler was killed
                return


def _of_gpus(values: dict[str, float], quantity: str) -> list[float]:
    return [
        value
        for name, value in values.items()
        if name.startswith("gpu-") and name.endswith(f"_{quantity}")
    ]
