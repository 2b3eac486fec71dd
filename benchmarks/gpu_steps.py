"""Rates of training and evaluation on one GPU, with and without graphs and fusion; kernels by time.

    python -m benchmarks.gpu_steps FOLDER EPOCHS [BATCH ...]

writes steps.jsonl, with a line for each precision, batch size and way to launch, and kernels.txt.
Ways are a CUDA graph, a CUDA graph of convolutions that cuDNN fuses with bias, sum and ReLU, and
kernel by kernel; they alternate in one process. Rates are in patches/s, medians of EPOCHS epochs.
"""

from __future__ import annotations

import json
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path

import torch
from torch.profiler import ProfilerActivity, profile

from benchmarks.stages import repeated
from cloudmask.config import configure
from cloudmask.distributed.process_group import (
    World,
    destroy_process_group,
    initialise_process_group,
)
from cloudmask.errors import InputError
from cloudmask.model.precision import choose_precision
from cloudmask.patches.store import PatchStore
from cloudmask.training.trainer import Trainer
from cloudmask.training.warm_up import warm_up

PRECISIONS = ("bfloat16", "float16", "float32")
BATCHES = (2, 4, 8, 16, 32, 64)
WAYS: tuple[dict[str, bool], ...] = (
    {"cuda_graph": True, "cudnn_fusion": False},
    {"cuda_graph": True, "cudnn_fusion": True},
    {"cuda_graph": False, "cudnn_fusion": False},
)
PATCHES, STEPS = 64, 8  # of an epoch, at least
TRACED_BATCH, TRACED_PATCHES, KERNELS = 16, 64, 60


def main(folder: Path, epochs: int, *batches: str) -> None:
    """Measure and write."""
    folder.mkdir(parents=True, exist_ok=True)
    world = initialise_process_group()
    with (folder / "steps.jsonl").open("w") as file:
        for precision in PRECISIONS:
            for batch in map(int, batches or BATCHES):
                for result in measured(world, precision, batch, epochs):
                    print(json.dumps(result), file=file, flush=True)
                torch.cuda.empty_cache()
                torch.cuda.reset_peak_memory_stats()
    (folder / "kernels.txt").write_text(kernels(world))
    destroy_process_group()


def trainer_of(world: World, precision: str, batch: int, **way: bool) -> Trainer:
    """A trainer of the default recipe, after its warm-up."""
    config = configure(
        [
            *(f"--precision={precision}", f"--batch-size={batch}"),
            f"--evaluation-batch-size={batch}",
            *(f"--{name.replace('_', '-')}={str(wanted).lower()}" for name, wanted in way.items()),
        ]
    )
    trainer = Trainer(config, world, choose_precision(precision, world.device))
    warm_up(trainer)
    return trainer


def measured(world: World, precision: str, batch: int, epochs: int) -> list[dict[str, object]]:
    """Rates of each way, or why there are none."""
    results: list[dict[str, object]] = [
        {"precision": precision, "batch": batch, **way} for way in WAYS
    ]
    ready: list[tuple[dict[str, object], Trainer, list[float], list[float]]] = []
    for way, result in zip(WAYS, results, strict=True):
        try:
            ready.append((result, trainer_of(world, precision, batch, **way), [], []))
        except (InputError, RuntimeError) as error:  # what the GPU has not; out of memory
            result["refused"] = str(error).partition("\n")[0]
    if not ready:
        return results
    try:
        store = repeated(*ready[0][1].random_batch(batch), max(STEPS, PATCHES // batch))
        for epoch in range(1, epochs + 2):
            for _, trainer, training, evaluation in ready:
                trained, evaluated = epoch_rates(trainer, store, epoch)
                if epoch > 1:
                    training.append(trained)
                    evaluation.append(evaluated)
    except RuntimeError as error:  # out of memory
        for result, *_ in ready:
            result["refused"] = str(error).partition("\n")[0]
        return results
    for result, trainer, training, evaluation in ready:
        result |= {
            "refused": trainer.graphs_refused,
            "training": round(statistics.median(training), 1),
            "training_range": [round(min(training), 1), round(max(training), 1)],
            "evaluation": round(statistics.median(evaluation), 1),
            "gib_of_all": round(torch.cuda.max_memory_reserved() / 2**30, 2),
        }
    return results


def epoch_rates(trainer: Trainer, store: PatchStore, epoch: int) -> tuple[float, float]:
    """Rates of training and of evaluation."""
    return (
        rate(lambda: trainer.train_epoch(epoch, store, lambda _: None), store),
        rate(lambda: trainer.evaluate(store), store),
    )


def rate(work: Callable[[], object], store: PatchStore) -> float:
    """Patches of the store per second of the work."""
    torch.cuda.synchronize()
    began = time.perf_counter()
    work()
    torch.cuda.synchronize()
    return len(store) / (time.perf_counter() - began)


def kernels(world: World) -> str:
    """A table of an epoch's kernels by time on the GPU, launched one by one."""
    trainer = trainer_of(world, "auto", TRACED_BATCH, cuda_graph=False)
    store = repeated(*trainer.random_batch(TRACED_BATCH), TRACED_PATCHES // TRACED_BATCH)
    with profile(activities=[ProfilerActivity.CPU, ProfilerActivity.CUDA]) as profiler:
        trainer.train_epoch(1, store, lambda _: None)
        torch.cuda.synchronize()
    averages = profiler.key_averages()
    return str(
        averages.table(sort_by="self_cuda_time_total", row_limit=KERNELS, max_name_column_width=100)
    )


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), *sys.argv[3:])
