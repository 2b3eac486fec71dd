"""Program of `test_memory.py`: the memory of rank 0 of a system, with DS1 at full size.

    python -m tests.rehearsal.full_size

takes the configuration from the environment, as a rank does, and prints the largest memory that
torch's allocator took of the GPU, in bytes. No memory of a patch is ever touched.
"""

from __future__ import annotations

from unittest import mock

import numpy as np
import torch
import torch.distributed as dist
from torch._C._distributed_c10d import HashStore

from cloudmask.config import configure
from cloudmask.distributed.process_group import World
from cloudmask.inference.whole_scene import predict_scene
from cloudmask.model.precision import choose_precision
from cloudmask.model.prediction import inference_copy
from cloudmask.patches.store import StorePlan, choose_store
from cloudmask.timed_run.plan import count_patches
from cloudmask.training.trainer import Trainer
from cloudmask.training.warm_up import warm_up

DS1_SCENES = 970
STEPS = 2


def main() -> None:
    """Allocate, warm up, train two steps, evaluate all patches, and infer a scene."""
    config, device = configure([]), torch.device("cuda", 0)
    size, local_size = config.world_size, config.processes_per_node
    torch.cuda.set_device(device)
    dist.init_process_group("nccl", store=HashStore(), rank=0, world_size=size)
    precision = choose_precision(config.precision, device)
    counts = count_patches(DS1_SCENES, config, size)
    plans = [
        StorePlan([], share, config.patch_size, precision.store_dtype)
        for share in (counts.train_share(0), counts.eval_share(0))
    ]
    needed = sum(plan.nbytes for plan in plans)
    assert choose_store("auto", needed, device, local_size) == "device"
    training, validation = (plan.empty_store(device) for plan in plans)
    trainer = Trainer(config, World(0, size, 0, local_size, device), precision)
    with mock.patch("cloudmask.training.warm_up.gather", lambda value: [value]):  # the only rank
        warm_up(trainer, evaluation_patches=len(validation))
    assert trainer.graphs is not None
    trainer.train_epoch(1, training.narrow(0, STEPS * config.batch_size), lambda steps: None)
    trainer.evaluate(validation)
    network = inference_copy(trainer.evaluation_model, precision.dtype)
    image = np.zeros((1200, 1500, 9), np.float32)
    predict_scene(network, image, precision, config.evaluation_batch_size)
    print(torch.cuda.max_memory_reserved())


if __name__ == "__main__":
    main()
