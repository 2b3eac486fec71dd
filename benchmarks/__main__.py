"""Throughput of every stage of a run, beside a plain version of it and the machine's limit.

    python -m benchmarks [--scenes DIR] [--repetitions 5] [--staged-scenes 24] [--output FILE]

Ours and the plain version (benchmarks/plain.py) alternate in one process, so that other load on
the machine slows both; figures are medians, with the range of the ratios. The floor of staging is
h5py's rate of reading the bytes that are used, times the cores; the floor of the other stages is
the measured rate of matrix products over the network's operations. Under torchrun, every rank
does its share on its own GPU and rates are summed.
"""

from __future__ import annotations

import argparse
import json
import platform
import tempfile
from dataclasses import asdict
from pathlib import Path

import torch

from benchmarks.stages import STAGED_SCENES, STAGES, Bench
from cloudmask.config import configure
from cloudmask.distributed.host_allocator import keep_freed_memory
from cloudmask.distributed.process_group import (
    World,
    destroy_process_group,
    initialise_process_group,
)
from cloudmask.errors import InputError
from cloudmask.scenes.layout import list_scenes
from cloudmask.synthetic.generate import synthesize
from cloudmask.tables import Table

DEFAULT_OUTPUT = Path("benchmarks/results/rates.json")
HEADINGS = ("stage", "unit", "ours", "plain", "floor", "ours / plain", "ours / floor")


def machine(world: World) -> dict[str, object]:
    """The hardware and software of the measurement."""
    cpu = next(
        (
            line.split(":")[1].strip()
            for line in Path("/proc/cpuinfo").read_text().splitlines()
            if line.startswith("model name")
        ),
        platform.machine(),
    )
    cuda = world.device.type == "cuda"
    return {
        "device": torch.cuda.get_device_name(world.device) if cuda else "CPU",
        "ranks": world.size,
        "cpu": cpu,
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
        "python": platform.python_version(),
    }


def main() -> int:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks")
    parser.add_argument("--scenes", type=Path, help="data folder; synthetic scenes if not given")
    parser.add_argument("--repetitions", type=int, default=5)
    parser.add_argument(
        "--staged-scenes", type=int, default=STAGED_SCENES, help="read again if too few"
    )
    parser.add_argument("--output", type=Path, default=DEFAULT_OUTPUT)
    options = parser.parse_args()
    for name in ("repetitions", "staged_scenes"):
        if getattr(options, name) < 1:
            flag = f"--{name.replace('_', '-')}"
            parser.error(f"{flag} is {getattr(options, name)}: it must be at least 1")
    keep_freed_memory()
    world = initialise_process_group()
    with tempfile.TemporaryDirectory() as made:
        folder = options.scenes or Path(made)
        if options.scenes is None:
            synthesize(folder, training_scenes=4, inference_scenes=1, seed=1, processes=2)
        try:
            scenes = list_scenes(folder, "training")
        except InputError as error:
            parser.error(str(error))
        bench = Bench(configure([]), world, scenes, options.repetitions, options.staged_scenes)
        rates = [stage(bench) for stage in STAGES]
    if world.is_rank_zero:
        about = machine(world)
        print(", ".join(f"{name} {value}" for name, value in about.items()))
        print(Table("", HEADINGS, [rate.row() for rate in rates], "l" * len(HEADINGS)).text())
        options.output.parent.mkdir(parents=True, exist_ok=True)
        record = {"machine": about, "stages": [asdict(rate) for rate in rates]}
        options.output.write_text(json.dumps(record, indent=2) + "\n")
    destroy_process_group()
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
