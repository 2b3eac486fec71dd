"""Overhead of sampling power and utilisation: training with and without it, alternately.

    python -m benchmarks.sampling [--seconds 1.0] [--patches 64] [--repetitions 5]

Epochs of the default recipe on patches in memory, on this process's device. One line a pair, then
the median of the ratios with their range, and the sampler's own processor time as a share of one
core: that share holds on a busy machine too, the ratios only on an idle one.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
from functools import partial
from pathlib import Path

from benchmarks.stages import Bench, repeated
from cloudmask.config import configure
from cloudmask.distributed.host_allocator import keep_freed_memory
from cloudmask.distributed.process_group import (
    destroy_process_group,
    initialise_process_group,
    pci_address,
)
from cloudmask.machine.sensors.sampler_process import SamplerProcess
from cloudmask.machine.sensors.usage import read_usage


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.sampling")
    parser.add_argument("--seconds", type=float, default=1.0, help="between samples")
    parser.add_argument("--patches", type=int, default=64, help="of an epoch")
    parser.add_argument("--repetitions", type=int, default=5)
    options = parser.parse_args()
    for name in ("seconds", "patches", "repetitions"):
        if getattr(options, name) <= 0:
            parser.error(f"--{name} is {getattr(options, name)}: it must be above 0")
    keep_freed_memory()
    world = initialise_process_group()
    bench = Bench(configure([]), world, [], options.repetitions)
    batch = bench.config.batch_size
    store = repeated(*bench.trainer.random_batch(batch), max(1, options.patches // batch))
    gpus = [pci_address(0)] if world.device.type == "cuda" else []

    def rate() -> float:
        epoch = partial(bench.trainer.train_epoch, 1, store, lambda steps: None)
        return bench.rate(epoch, len(store))

    rate()  # not counted: first uses of everything
    ratios, shares = [], []
    with tempfile.TemporaryDirectory() as folder:
        for number in range(options.repetitions):
            plain = rate()
            sampler = SamplerProcess(Path(folder) / f"{number}.csv", options.seconds, gpus)
            sampler.start_sampling()
            sampled = rate()
            used = sampler.stop()["sampler_cpu_seconds"]
            ratios.append(sampled / plain)
            shares.append(used / read_usage(sampler.file).seconds)
            print(f"without {plain:.3f} patches/s   with {sampled:.3f} patches/s", flush=True)
    destroy_process_group()
    low, high = min(ratios), max(ratios)
    print(f"with / without {statistics.median(ratios):.3f} ({low:.3f} to {high:.3f})")
    print(f"sampler {100 * statistics.median(shares):.3f} % of one core")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
