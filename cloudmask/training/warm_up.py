"""The warm-up of a trainer, so that nothing is initialised or captured under the clock."""

from __future__ import annotations

import copy
from functools import partial

import torch

from cloudmask.distributed.process_group import gather
from cloudmask.patches.store import PatchStore, even_batch_size
from cloudmask.scenes.slstr import REFLECTANCES, TEMPERATURES
from cloudmask.training.compilation import OFF, compile_errors_as_input_errors
from cloudmask.training.cuda_graph import CudaGraph, TrainingGraphs
from cloudmask.training.trainer import Trainer, data_parallel

# The first step creates kernels. DistributedDataParallel rebuilds its buckets after the first step;
# on a GPU it also times its first ten steps, for which the host waits. Compiled code records CUDA
# graphs in its second call and replays them from the third on.
STEPS, STEPS_DISTRIBUTED, STEPS_COMPILED = 1, 2, 3
STEPS_DISTRIBUTED_GPU = 11


def warm_up(trainer: Trainer, on_host: bool = False, evaluation_patches: int = 0) -> None:
    """Train and evaluate on random patches, and capture `trainer.graphs` where they are wanted.

    The state of the trainer is the same afterwards.

    Args:
        on_host: the patches are in host memory, as in a host or mapped store.
        evaluation_patches: patches of this rank in an evaluation; 0 for any multiple of
            `evaluation_batch_size`.

    Raises:
        InputError: the network cannot be compiled on this machine.
    """
    before = copy.deepcopy(trainer.state())
    limit = trainer.config.evaluation_batch_size
    evaluated = even_batch_size(evaluation_patches or limit, limit)
    steps = _steps(trainer)
    _rehearse(trainer, on_host, steps, evaluated)
    if _wants_graphs(trainer):
        _use_graphs(trainer, evaluated)
        _rehearse(trainer, on_host, steps if trainer.graphs is None else 1, evaluated)
    trainer.network.zero_grad()
    trainer.load_state(before)


def _steps(trainer: Trainer) -> int:
    if trainer.world.size > 1 and trainer.world.device.type == "cuda":
        return STEPS_DISTRIBUTED_GPU
    if trainer.config.compile_mode != OFF:
        return STEPS_COMPILED
    return STEPS if trainer.world.size == 1 else STEPS_DISTRIBUTED


def _wants_graphs(trainer: Trainer) -> bool:
    config = trainer.config  # compiled code brings graphs of its own
    on_gpu = trainer.world.device.type == "cuda"
    return on_gpu and config.cuda_graph and config.compile_mode == OFF


def _rehearse(trainer: Trainer, on_host: bool, steps: int, evaluated: int) -> None:
    """Train so many steps and evaluate a batch of so many patches, all random."""
    with compile_errors_as_input_errors(trainer.config.compile_mode):
        store = _random_store(trainer, steps * trainer.config.batch_size, on_host)
        trainer.train_epoch(0, store, lambda steps: None)
    trainer.evaluate(_random_store(trainer, evaluated, on_host))


def _random_store(trainer: Trainer, patches: int, on_host: bool) -> PatchStore:
    images, labels = trainer.random_batch(patches)
    pixels = images.permute(0, 2, 3, 1)
    refs, bts = pixels.split([REFLECTANCES, TEMPERATURES], dim=3)
    tensors = [refs.contiguous(), bts.contiguous(), labels.squeeze(1)]
    return PatchStore(*(each.cpu() if on_host else each for each in tensors))


def _use_graphs(trainer: Trainer, evaluated: int) -> None:
    """Capture the trainer's graphs; if that fails on any rank, every rank goes on without them."""
    refused = ""
    try:
        trainer.graphs = _capture(trainer, evaluated)
    except RuntimeError as error:  # also of too little memory
        refused = str(error).partition("\n")[0]
    trainer.graphs_refused = next(filter(None, gather(refused)), "")
    if trainer.graphs_refused:
        trainer.graphs = None
        # DistributedDataParallel may have stopped in the middle of a backward pass.
        trainer.network.zero_grad()
        trainer.parallel = data_parallel(trainer.network, trainer.world)


def _capture(trainer: Trainer, evaluated: int) -> TrainingGraphs:
    device, patches = trainer.world.device, trainer.config.batch_size
    numbers = torch.ones(2, device=device).unbind()
    trainer.parallel.train()
    trainer.network.zero_grad()  # gradients are then in the memory of the graph
    inputs = [*trainer.random_batch(patches), *numbers]
    if trainer.config.augment:
        inputs.append(torch.zeros(patches, dtype=torch.int64, device=device))
    step = CudaGraph(trainer.step_on_device, *inputs)
    network = CudaGraph(trainer.inference_network, pool=step)
    batch = trainer.random_batch(evaluated)
    with torch.inference_mode():
        evaluation = CudaGraph(partial(trainer.counts, network.result), *batch, pool=step)
    return TrainingGraphs(step, network, evaluation)
