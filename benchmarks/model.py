"""A model of the time to solution: staging, and epochs of steps and an evaluation.

    python -m benchmarks.model [--system DGX2_2x16 ...] [--epochs 5 10 20] [--storage GB/S]

Every term is counted, measured, or assumed with its source (docs/benchmark/model.md). For a system
of GPUs it prints each term for the likely efficiency, and the totals for the range of what is
assumed. Then it compares itself with the default runs that were measured on processors.
"""

from __future__ import annotations

import argparse
import json
import subprocess
from dataclasses import dataclass, fields
from pathlib import Path

import yaml

from cloudmask.config import Config
from cloudmask.patches.geometry import patches_per_scene, training_region
from cloudmask.patches.store import even_batch_size
from cloudmask.tables import Table
from cloudmask.timed_run.plan import count_patches

ROOT = Path(__file__).parents[1]
RUNS = ROOT / "benchmarks" / "results" / "default_runs.json"

# Counted.
DS1_SCENES = 970
TRAINING_FLOP, FORWARD_FLOP = 65.7e9, 21.9e9  # of a patch
PARAMETERS = 1_948_609
KERNELS, EVALUATION_KERNELS = 350, 100  # of a step and of a batch, on stand-ins (README)
HOST_LAUNCHES = 10  # of a step as a CUDA graph
# Bytes of a pixel that are read: refs and bts as float64, bayes (DS1: 93 bytes in all with rads).
PIXEL_BYTES = 9 * 8 + 1
# Values that the network's 16 large convolutions write for a patch: two of each width on the way
# down and, but for the bottleneck, on the way up.
ACTIVATIONS = sum(
    passes * width * (256 >> level) ** 2
    for level, (width, passes) in enumerate([(32, 4), (64, 4), (128, 4), (256, 2)])
)

# Assumed.
TRANSFERS = 8  # of an activation: written, read by the next layer, its gradient, both read again
KERNEL_SECONDS, LAUNCH_SECONDS = 2e-6, 5e-6  # the least time of a kernel in a graph; a launch
EFFICIENCY = (0.15, 0.3, 0.5)  # of the peak of the matrix units: low, likely, high
NODE_STORAGE = 2e9  # bytes/s that a node reads from a parallel file system
PATCHES_PER_CORE = 717  # staged a second by one core of the Xeon, from its page cache (measured)
CORES_OF_NODE = 48
HOP_SECONDS = 5e-6  # latency of a step of a ring


@dataclass(frozen=True)
class Gpu:
    """Peak of the matrix units in training's precision, FLOP/s; memory and links, bytes/s."""

    name: str
    peak: float
    memory: float
    link: float  # to GPUs of the node
    network: float  # of a node to others


V100 = Gpu("V100", 125e12, 0.9e12, 120e9, 80e9)  # data sheets of V100 and DGX-2: 8 x 100 Gbit/s
A100 = Gpu("A100", 312e12, 1.55e12, 240e9, 160e9)  # data sheets of A100 and DGX A100
H100 = Gpu("H100", 989e12, 3.35e12, 360e9, 320e9)  # data sheets of H100 SXM and DGX H100
H200 = Gpu("H200", 989e12, 4.8e12, 360e9, 320e9)
GPUS = {"DGX2": V100, "DGX2_2x16": V100, "DGXA100": A100, "DGXH100": H100, "H200_1": H200}


@dataclass(frozen=True)
class Epoch:
    """Seconds of the terms of an epoch."""

    arithmetic: float  # or the memory's traffic, if that takes longer
    kernels: float
    all_reduce: float
    evaluation: float

    @property
    def seconds(self) -> float:
        """All terms; none is taken to overlap with another."""
        return sum(getattr(self, field.name) for field in fields(self))


def system_config(system: str) -> Config:
    """The parameters of a system's file."""
    script = (
        'source "$1"; printf "%s\\n%s\\n%s" "$DGXNNODES" "$DGXNGPU" "$CLOUDMASK_SYSTEM_DEFAULTS"'
    )
    path = ROOT / f"config_{system}.sh"
    done = subprocess.run(
        ["bash", "-c", script, "-", path], capture_output=True, text=True, check=True
    )
    nodes, processes, defaults = done.stdout.split("\n", 2)
    values = yaml.safe_load(defaults)
    return Config(system=system, nodes=int(nodes), processes_per_node=int(processes), **values)


def staging_seconds(nodes: int, storage: float, scenes: int = DS1_SCENES) -> float:
    """DS1's pixels over the storage's rate, or the cores' rate of staging if that is lower."""
    rows, columns = training_region()
    pixels = (rows.stop - rows.start) * (columns.stop - columns.start)
    reading = scenes * pixels * PIXEL_BYTES / (nodes * storage)
    patches = scenes * patches_per_scene()
    return max(reading, patches / (nodes * CORES_OF_NODE * PATCHES_PER_CORE))


def epoch(config: Config, gpu: Gpu, efficiency: float) -> Epoch:
    """The terms of an epoch on DS1."""
    counts = count_patches(DS1_SCENES, config, config.world_size)
    steps = counts.train_samples // counts.global_batch_size
    evaluated = counts.eval_share(0).count
    batches = evaluated // even_batch_size(evaluated, config.evaluation_batch_size)

    def patches(count: float, flop: float, transfers: float) -> float:
        traffic = 2 * ACTIVATIONS * transfers / gpu.memory
        return count * max(flop / (efficiency * gpu.peak), traffic)

    return Epoch(
        arithmetic=steps * patches(config.batch_size, TRAINING_FLOP, TRANSFERS),
        kernels=steps * (KERNELS * KERNEL_SECONDS + HOST_LAUNCHES * LAUNCH_SECONDS),
        all_reduce=steps * all_reduce_seconds(config, gpu),
        evaluation=patches(evaluated, FORWARD_FLOP, TRANSFERS / 4)
        + batches * EVALUATION_KERNELS * KERNEL_SECONDS,
    )


def all_reduce_seconds(config: Config, gpu: Gpu) -> float:
    """A ring over all ranks sends the float32 gradients nearly twice, over the slowest link."""
    ranks = config.world_size
    if ranks == 1:
        return 0.0
    rate = gpu.network if config.nodes > 1 else gpu.link
    return 2 * (ranks - 1) / ranks * PARAMETERS * 4 / rate + 2 * (ranks - 1) * HOP_SECONDS


def predicted(rates: dict[str, float], epochs: int, train: int = 180, evaluate: int = 60) -> float:
    """The default run on a processor whose rates, patches/s, were measured by `benchmarks`."""
    staging = (train + evaluate) / rates["staging"]
    return staging + epochs * (train / rates["training"] + evaluate / rates["evaluation"])


def ratios() -> dict[str, list[float]]:
    """Predicted over measured time of each default run, by machine."""
    return {
        machine["machine"]: [
            predicted(machine, epochs) / seconds
            for epochs, seconds in machine["epochs_and_seconds"]
        ]
        for machine in json.loads(RUNS.read_text(encoding="utf-8"))
    }


def main() -> int:
    """Print the terms, the totals and the comparison."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.model")
    default = ("DGX2_2x16", "H200_1", "DGXH100")
    parser.add_argument("--system", nargs="+", choices=GPUS, default=default)
    parser.add_argument("--epochs", nargs="+", type=int, default=[5, 10, 20])
    parser.add_argument(
        "--storage", type=float, default=NODE_STORAGE / 1e9, help="GB/s that a node reads"
    )
    options = parser.parse_args()
    terms, totals = [], []
    for system in options.system:
        config, gpu = system_config(system), GPUS[system]
        staging = staging_seconds(config.nodes, options.storage * 1e9)
        slow, likely, fast = (epoch(config, gpu, efficiency) for efficiency in EFFICIENCY)
        parts = [likely.arithmetic, likely.kernels, likely.all_reduce, likely.evaluation]
        name = f"{system} ({config.world_size} x {gpu.name})"
        terms.append(
            [name, f"{staging:.1f}", *(f"{x:.2f}" for x in parts), f"{likely.seconds:.2f}"]
        )
        totals.append(
            [name]
            + [
                f"{staging + count * likely.seconds:.0f} "
                f"({staging + count * fast.seconds:.0f} to {staging + count * slow.seconds:.0f})"
                for count in options.epochs
            ]
        )
    columns = ("system", "staging", "arithmetic", "kernels", "all-reduce", "evaluation", "epoch")
    print(
        Table(
            "Seconds, likely: staging, and the terms of an epoch", columns, terms, "lrrrrrr"
        ).text()
    )
    of = ["system", *(f"{count} epochs" for count in options.epochs)]
    print(Table("Seconds to solution", of, totals, "l" * len(of)).text())
    rows = [[name, " ".join(f"{x:.2f}" for x in found)] for name, found in ratios().items()]
    print(Table("Default runs", ("machine", "predicted / measured"), rows, "ll").text())
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
